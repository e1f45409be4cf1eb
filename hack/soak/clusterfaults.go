package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

const (
	stormEdits = 100
	stormLabel = "example.com/storm"
)

// clusterFaults are what people do in the cluster, or to an account.
var clusterFaults = []fault{
	{name: "Secret deleted", inject: func(ctx context.Context, s *soak, draw *rand.Rand) error {
		d := s.anyDevice(draw)
		s.out.Say("%s is deleted", d)
		d.askAnew(1)
		return s.brief(ctx, d.user, func(ctx context.Context) error {
			return client.IgnoreNotFound(s.cluster.Client.Delete(ctx, &corev1.Secret{ObjectMeta: meta(d.secret)}))
		})
	}},
	{name: "Secret edited", inject: func(ctx context.Context, s *soak, draw *rand.Rand) error {
		d := s.anyDevice(draw)
		s.out.Say("%s is edited", d)
		d.askAnew(1)
		key, value := "", fmt.Sprintf("edited-%s-%d", d.secret, draw.Uint32())
		switch d.kind {
		case byCredentials:
			key, value = "authorization_basic", "Basic "+base64.StdEncoding.EncodeToString([]byte("edited:"+value))
		case byJWT:
			key = "jwt"
		case byToken:
			key = "access_token"
		}
		return s.brief(ctx, d.user, func(ctx context.Context) error {
			body := fmt.Appendf(nil, `{"stringData":{%q:%q}}`, key, value)
			return s.cluster.Client.Patch(ctx, &corev1.Secret{ObjectMeta: meta(d.secret)}, client.RawPatch(types.MergePatchType, body))
		})
	}},
	{name: "GiniUser made again", inject: remake},
	{name: "refresh requested", inject: func(ctx context.Context, s *soak, draw *rand.Rand) error {
		u := pick(draw, s.users)
		s.out.Say("A new token is requested for %s", u.name)
		u.askAnew(1)
		return s.edit(ctx, u.object(), annotate(api.RefreshRequestedAnnotation))
	}},
	{name: "key rolled", inject: func(ctx context.Context, s *soak, draw *rand.Rand) error {
		a := pick(draw, s.applications)
		s.out.Say("The signing key of %s is rolled", a.name)
		for _, u := range a.users {
			for _, d := range u.devices {
				if d.kind == byJWT {
					d.askAnew(1)
				}
			}
		}
		end := s.begin(excuse{cause: keyRolled, grace: repairLimit, concerns: func(d *device) bool {
			return d.user.application == a && d.kind == byJWT
		}})
		defer func() { end(time.Now()) }()
		return s.edit(ctx, a.object(), annotate(api.KeyRollRequestedAnnotation))
	}},
	{name: "account deleted", inject: func(ctx context.Context, s *soak, draw *rand.Rand) error {
		u, account, err := s.anyAccount(ctx, draw)
		if err != nil {
			return err
		}
		s.out.Say("The account of %s is deleted at Gini", u.name)
		s.deleted[u] = append(s.deleted[u], account)
		u.askAnew(1)
		end := s.begin(excuse{cause: accountLost, grace: tokenLifetime + repairLimit, concerns: func(d *device) bool { return d.user == u }})
		defer func() { end(time.Now()) }()
		if !u.application.gini.server.DeleteAccount(account) {
			return fmt.Errorf("%s has the account %s, which Gini %q does not know", u.name, account, u.application.gini.name)
		}
		return nil
	}},
	{name: "label storm", inject: func(ctx context.Context, s *soak, draw *rand.Rand) error {
		s.out.Say("Labels of all GiniUsers are edited, %d times", stormEdits)
		s.api.RLock()
		defer s.api.RUnlock()
		for i := range stormEdits {
			body := fmt.Appendf(nil, `{"metadata":{"labels":{%q:"%d"}}}`, stormLabel, i)
			object := pick(draw, s.users).object()
			if err := s.cluster.Client.Patch(ctx, object, client.RawPatch(types.MergePatchType, body)); err != nil {
				return err
			}
		}
		return nil
	}},
}

// anyAccount draws a user whose account the operator made, and that has one: another may just wait for its next.
func (s *soak) anyAccount(ctx context.Context, draw *rand.Rand) (u *user, account string, err error) {
	for _, i := range draw.Perm(len(s.users)) {
		if u = s.users[i]; !u.managed() {
			continue
		}
		if account, err = s.accountOf(ctx, u); err != nil {
			return nil, "", err
		}
		if account != "" && !slices.Contains(s.deleted[u], account) {
			return u, account, nil
		}
	}
	return nil, "", errors.New("no user has an account: the operator has not made others for those that were deleted")
}

// anyDevice draws a device.
func (s *soak) anyDevice(draw *rand.Rand) *device { return pick(draw, pick(draw, s.users).devices) }

// brief does something to a user's objects that is over at once.
func (s *soak) brief(ctx context.Context, u *user, do func(context.Context) error) error {
	s.api.RLock()
	defer s.api.RUnlock()
	end := s.begin(excuse{cause: edited, grace: repairLimit, concerns: func(d *device) bool { return d.user == u }})
	defer func() { end(time.Now()) }()
	return do(ctx)
}

// annotate sets an annotation to a value that it never had.
func annotate(name string) func(client.Object) {
	return func(object client.Object) {
		annotations := object.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[name] = time.Now().UTC().Format(time.RFC3339Nano)
		object.SetAnnotations(annotations)
	}
}

// remake deletes a GiniUser and makes it again. What belonged to the former one is collected before or after that, as by Kubernetes'
// garbage collector, which does not run here.
func remake(ctx context.Context, s *soak, draw *rand.Rand) error {
	u, before := pick(draw, s.users), draw.IntN(2) == 0
	u.askAnew(2)
	s.out.Say("GiniUser %s is deleted and made again; its Secrets are collected %s that", u.name, map[bool]string{true: "before", false: "after"}[before])
	return s.brief(context.WithoutCancel(ctx), u, func(ctx context.Context) error {
		object := u.object()
		if err := s.cluster.Client.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		former := object.UID
		if err := s.cluster.Client.Delete(ctx, object); err != nil {
			return err
		}
		if before {
			if err := s.collect(ctx, former); err != nil {
				return err
			}
		}
		if err := s.cluster.Client.Create(ctx, u.object()); err != nil {
			return err
		}
		return s.collect(ctx, former)
	})
}

// collect deletes the Secrets of an owner that is no more.
func (s *soak) collect(ctx context.Context, owner types.UID) error {
	var secrets corev1.SecretList
	if err := s.cluster.Client.List(ctx, &secrets, client.InNamespace(namespace)); err != nil {
		return err
	}
	for i := range secrets.Items {
		secret := &secrets.Items[i]
		if controller := metav1.GetControllerOf(secret); controller == nil || controller.UID != owner {
			continue
		}
		// As the collector does: not where somebody has given it another owner meanwhile.
		as := client.Preconditions{UID: &secret.UID, ResourceVersion: &secret.ResourceVersion}
		if err := s.cluster.Client.Delete(ctx, secret, as); client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
			return err
		}
	}
	return nil
}

// accountOf is the id of a user's account at Gini, by the Secret that has its password.
func (s *soak) accountOf(ctx context.Context, u *user) (string, error) {
	s.api.RLock()
	defer s.api.RUnlock()
	var secret corev1.Secret
	if err := s.cluster.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: u.accountSecret()}, &secret); err != nil {
		return "", err
	}
	return string(secret.Data["user_id"]), nil
}
