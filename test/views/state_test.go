package views

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/operator/operatortest"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// state is what the cluster and Gini look like, one fact a line, without what differs from run to run: times, tokens, UIDs.
func (w *world) state(ctx context.Context) []string {
	GinkgoHelper()
	var lines []string
	add := func(format string, arguments ...any) { lines = append(lines, fmt.Sprintf(format, arguments...)) }
	giniClient := &api.GiniClient{}
	Expect(k8s.Get(ctx, w.key("acme"), giniClient)).To(Succeed())
	for _, found := range giniClient.Status.Conditions {
		add("GiniClient %s: %s %s, up to date: %t", found.Type, found.Status, found.Reason, found.ObservedGeneration == giniClient.Generation)
	}
	if published := giniClient.Status.JWKS; published != nil {
		add("GiniClient has %d keys", len(published.Keys))
	}
	var users api.GiniUserList
	Expect(k8s.List(ctx, &users, client.InNamespace(w.namespace))).To(Succeed())
	var secrets corev1.SecretList
	Expect(k8s.List(ctx, &secrets, client.InNamespace(w.namespace))).To(Succeed())
	uids := map[string]bool{}
	for i := range users.Items {
		user := &users.Items[i]
		uids[string(user.UID)] = true
		for _, found := range user.Status.Conditions {
			add("%s %s: %s %s, up to date: %t", user.Name, found.Type, found.Status, found.Reason, found.ObservedGeneration == user.Generation)
		}
		add("%s is up to date: %t, has an id: %t, an account: %t, tries: %v", user.Name, user.Status.ObservedGeneration == user.Generation,
			user.Status.UserID != "", user.Status.Account != nil, user.Status.Attempt)
		if devices := user.Status.Devices; devices != nil {
			add("%s untrusted: %s", user.Name, w.deviceState(devices.Untrusted, secrets.Items))
			add("%s trusted: %s", user.Name, w.deviceState(devices.Trusted, secrets.Items))
		}
	}
	for i := range secrets.Items {
		found := &secrets.Items[i]
		owner := metav1.GetControllerOf(found)
		add("Secret %s has %v, labels %v, annotations %v, an owner: %t, that there is: %t", found.Name, keysIn(found.Data), found.Labels,
			keysIn(found.Annotations), owner != nil, owner != nil && uids[string(owner.UID)])
	}
	ledger := w.gini.Ledger()
	add("Gini has made %d accounts, deleted %d of them, and knows %d derived users", ledger.AccountsCreated, ledger.AccountsDeleted, ledger.DerivedUsers)
	return lines
}

func (w *world) deviceState(device *api.DeviceStatus, secrets []corev1.Secret) string {
	if device == nil {
		return "none"
	}
	at := slices.IndexFunc(secrets, func(found corev1.Secret) bool { return found.Name == device.SecretName })
	now := w.clock.Now()
	return fmt.Sprintf("Secret %s, as it is: %t, expires: %t, will be refreshed: %t", device.SecretName,
		at >= 0 && secrets[at].ResourceVersion == device.SecretResourceVersion, device.ExpiresAt != nil && now.Before(device.ExpiresAt.Time),
		device.RefreshAt != nil && now.Before(device.RefreshAt.Time))
}

func keysIn[V any](of map[string]V) []string { return slices.Sorted(maps.Keys(of)) }

// tokenRequests are how many token requests there were for each user. The names of accounts differ from run to run.
func (w *world) tokenRequests() map[string]int {
	requests := map[string]int{}
	for _, user := range w.gini.Ledger().Users {
		name := user.ID
		if !user.Derived {
			name = "an account"
		}
		requests[name] += user.TokenRequests
	}
	requests["makes accounts"] = w.gini.Ledger().Count(emulator.CreateUser)
	return requests
}

// provesItself uses every credential that a Secret holds.
func (w *world) provesItself(ctx context.Context) {
	GinkgoHelper()
	var secrets corev1.SecretList
	Expect(k8s.List(ctx, &secrets, client.InNamespace(w.namespace))).To(Succeed())
	used := 0
	for i := range secrets.Items {
		found := &secrets.Items[i]
		for _, headers := range headersOf(found) {
			used++
			Expect(operatortest.Use(ctx, w.url, headers)).To(Equal(http.StatusOK), "the use of %v from Secret %s", keysIn(headers), found.Name)
		}
		if expiry, err := time.Parse(time.RFC3339, found.Annotations[api.ExpiresAtAnnotation]); err == nil && w.clock != nil {
			Expect(expiry).To(BeTemporally(">", w.clock.Now()), found.Name)
		}
	}
	Expect(used).NotTo(BeZero())
}

// headersOf are what a device sends with the credentials of a Secret.
func headersOf(object *corev1.Secret) []map[string]string {
	if metav1.GetControllerOf(object) == nil {
		return nil // an account, a key or what people brought
	}
	var headers []map[string]string
	for key, name := range map[string]string{
		"authorization": "Authorization", "authorization_basic": "Authorization", "x_jwt_authorization": "X-JWT-Authorization",
	} {
		if value := object.Data[key]; value != nil {
			sent := map[string]string{name: string(value)}
			if identifier := object.Data["user_identifier"]; identifier != nil && key == "authorization_basic" {
				sent["X-User-Identifier"] = string(identifier)
			}
			headers = append(headers, sent)
		}
	}
	return headers
}

// versions are the resource versions of everything that an operator could write, one a line.
func (w *world) versions(ctx context.Context) (versions []string) {
	GinkgoHelper()
	for _, list := range []client.ObjectList{&corev1.SecretList{}, &api.GiniUserList{}, &api.GiniClientList{}} {
		Expect(k8s.List(ctx, list, client.InNamespace(w.namespace))).To(Succeed())
		Expect(meta.EachListItem(list, func(item runtime.Object) error {
			object, _ := item.(client.Object)
			versions = append(versions, fmt.Sprintf("%T %s: %s", object, object.GetName(), object.GetResourceVersion()))
			return nil
		})).To(Succeed())
	}
	return versions
}

// difference lists the lines that only one of two states has.
func difference(is, wanted []string) (lines []string) {
	for _, line := range is {
		if !slices.Contains(wanted, line) {
			lines = append(lines, "is: "+line)
		}
	}
	for _, line := range wanted {
		if !slices.Contains(is, line) {
			lines = append(lines, "wanted: "+line)
		}
	}
	return lines
}
