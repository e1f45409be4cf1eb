package controller_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

// learned is what the GiniClient says of what Gini thinks of it. Gini is never asked for that alone, so that what an operator
// learned that died is known once the next answer came: here, in the end. The behaviour of tokens takes two more and is left out.
// The same goes for the id of an account that was brought along.
func (d *drill) learned(ctx context.Context) string {
	GinkgoHelper()
	giniClient := &api.GiniClient{}
	Expect(k8s.Get(ctx, d.key("acme"), giniClient)).To(Succeed())
	var learned strings.Builder
	for _, found := range giniClient.Status.Conditions {
		fmt.Fprintf(&learned, "%s: %s %s, up to date: %t\n", found.Type, found.Status, found.Reason, found.ObservedGeneration == giniClient.Generation)
	}
	fmt.Fprintf(&learned, "the user's id: %t\n", d.user(ctx, "alice").Status.UserID != "")
	return learned.String()
}

// state is what the cluster and Gini look like, one fact a line, without what differs from run to run: times, tokens, UIDs.
func (d *drill) state(ctx context.Context) string {
	GinkgoHelper()
	var lines []string
	add := func(format string, arguments ...any) { lines = append(lines, fmt.Sprintf(format, arguments...)) }
	giniClient := &api.GiniClient{}
	Expect(k8s.Get(ctx, d.key("acme"), giniClient)).To(Succeed())
	user := d.user(ctx, "alice")

	add("GiniClient keys: %v, roll handled: %q", slices.Sorted(maps.Values(stages(giniClient))), giniClient.Status.LastHandledKeyRoll)
	for _, found := range user.Status.Conditions {
		add("GiniUser %s: %s %s, up to date: %t", found.Type, found.Status, found.Reason, found.ObservedGeneration == user.Generation)
	}
	add("GiniUser up to date: %t, user: %t, account: %t, identifier: %t, attempt: %v, refresh handled: %q", user.Status.ObservedGeneration == user.Generation,
		user.Status.UserID != "" || broughtAlong(user), user.Status.Account != nil, user.Status.IdentifierHash != "", user.Status.Attempt, user.Status.LastHandledRefreshRequest)
	if devices := user.Status.Devices; devices != nil {
		add("GiniUser untrusted device: %s", d.deviceState(ctx, devices.Untrusted))
		add("GiniUser trusted device: %s", d.deviceState(ctx, devices.Trusted))
	}

	var secrets corev1.SecretList
	Expect(k8s.List(ctx, &secrets, client.InNamespace(d.namespace))).To(Succeed())
	for i := range secrets.Items {
		found := &secrets.Items[i]
		add("Secret %s: %s with %v, labels %v, annotations %v, owners %v, immutable: %t", found.Name, found.Type, keysIn(found.Data), found.Labels,
			keysIn(found.Annotations), owners(found, user), found.Immutable != nil && *found.Immutable)
	}
	ledger := d.gini.Ledger()
	add("Gini: %d accounts, %d of them deleted, %d derived users", ledger.AccountsCreated, ledger.AccountsDeleted, ledger.DerivedUsers)
	return strings.Join(lines, "\n") + "\n"
}

// broughtAlong reports whether a user's account was made by somebody else.
func broughtAlong(user *api.GiniUser) bool {
	return user.Spec.Anonymous != nil && user.Spec.Anonymous.AccountSecret.Mode == api.ExistingAccount
}

func (d *drill) deviceState(ctx context.Context, device *api.DeviceStatus) string {
	GinkgoHelper()
	if device == nil {
		return "none"
	}
	stored := d.stored(ctx, device.SecretName)
	return fmt.Sprintf("Secret %s, as it is: %t, expires: %t, will be refreshed: %t, was: %t", device.SecretName,
		stored != nil && stored.ResourceVersion == device.SecretResourceVersion, device.ExpiresAt != nil && d.clock.Now().Before(device.ExpiresAt.Time),
		device.RefreshAt != nil && d.clock.Now().Before(device.RefreshAt.Time), device.LastRefreshAt != nil)
}

func keysIn[V any](of map[string]V) []string { return slices.Sorted(maps.Keys(of)) }

func owners(of *corev1.Secret, user *api.GiniUser) []string {
	var owners []string
	for _, owner := range of.OwnerReferences {
		owners = append(owners, fmt.Sprintf("%s %s, that there is: %t", owner.Kind, owner.Name, owner.UID == user.UID))
	}
	return owners
}

// provesItself uses every credential that a Secret holds, and asks Gini whose accounts there are.
func (d *drill) provesItself(ctx context.Context, act string) {
	GinkgoHelper()
	var secrets corev1.SecretList
	Expect(k8s.List(ctx, &secrets, client.InNamespace(d.namespace))).To(Succeed())
	accounts := map[string]string{} // by their ids
	used := 0
	for i := range secrets.Items {
		found := &secrets.Items[i]
		for _, headers := range headersOf(found) {
			used++
			Expect(d.use(ctx, headers)).To(Equal(http.StatusOK), "the use of %v from Secret %s after the act %q", keysIn(headers), found.Name, act)
		}
		if expiry, err := time.Parse(time.RFC3339, found.Annotations[api.ExpiresAtAnnotation]); err == nil {
			Expect(expiry).To(BeTemporally(">", d.clock.Now()), found.Name)
		}
		if id := string(found.Data["user_id"]); id != "" {
			accounts[id] = found.Name
		}
	}
	Expect(used).NotTo(BeZero(), "there is nothing to use after the act %q", act)
	user := d.user(ctx, "alice")
	if user.Spec.Anonymous == nil {
		Expect(d.gini.Ledger().Accounts()).To(BeEmpty())
		return
	}
	existing := d.gini.Ledger().Accounts()
	Expect(existing).To(HaveLen(1), "one account, and no orphan, after the act %q", act)
	if broughtAlong(user) {
		Expect(user.Status.UserID).To(BeElementOf("", existing[0].ID), "the status after the act %q", act)
		return
	}
	Expect(accounts).To(HaveKey(existing[0].ID), "the account Secret tells of the account after the act %q", act)
	Expect(user.Status.UserID).To(Equal(existing[0].ID), "as does the status after the act %q", act)
}

// headersOf are what a device sends with the credentials of a Secret.
func headersOf(object *corev1.Secret) []map[string]string {
	if metav1.GetControllerOf(object) == nil {
		return nil // an account, a key or what people brought
	}
	var headers []map[string]string
	if value := object.Data["authorization"]; value != nil {
		headers = append(headers, map[string]string{"Authorization": string(value)})
	}
	if value := object.Data["authorization_basic"]; value != nil {
		headers = append(headers, map[string]string{"Authorization": string(value), "X-User-Identifier": string(object.Data["user_identifier"])})
	}
	if value := object.Data["x_jwt_authorization"]; value != nil {
		headers = append(headers, map[string]string{"X-JWT-Authorization": string(value)})
	}
	return headers
}
