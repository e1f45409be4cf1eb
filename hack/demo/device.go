package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/hack/internal/narration"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const (
	// usePause lies between two uses of a Secret, and retryPause after a refused one.
	usePause, retryPause = time.Second, 250 * time.Millisecond
	useTimeout           = 10 * time.Second
	namespace            = corev1.NamespaceDefault
)

// device uses one Secret, as a program in a pod would that mounts it.
type device struct {
	user, secret string
	kind         kind
	url          string
	reader       client.Reader
	http         *http.Client
	out          *narration.Printer

	fingerprint string
	renewals    int
	trouble     string
}

// devicesOf is a device for each Secret of the users.
func devicesOf(users []api.GiniUser, url string, reader client.Reader, out *narration.Printer) (devices []*device) {
	shared := &http.Client{Timeout: useTimeout}
	for i := range users {
		user := &users[i]
		add := func(secret api.ObjectName, shows kind) {
			devices = append(devices, &device{
				user: user.Name, secret: string(secret), kind: shows, url: url, reader: reader, http: shared, out: out,
			})
		}
		if trusted := user.Spec.Devices.Trusted; trusted != nil {
			shows := byCredentials
			if user.Spec.Derived != nil && user.Spec.Derived.Auth == api.JWTAuth {
				shows = byJWT
			}
			add(trusted.Secret.Name, shows)
		}
		if untrusted := user.Spec.Devices.Untrusted; untrusted != nil {
			add(untrusted.Secret.Name, byToken)
		}
	}
	return devices
}

// run uses the Secret once a second until ctx ends, and again a little later where a use is refused.
func (d *device) run(ctx context.Context) {
	for pause := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		begin := time.Now()
		pause = usePause
		err := d.use(ctx)
		if ctx.Err() != nil {
			return
		}
		d.tell(err)
		if err != nil {
			pause = retryPause
		}
		pause = max(0, pause-time.Since(begin))
	}
}

// use reads the Secret and asks Gini for the documents of its user.
func (d *device) use(ctx context.Context) error {
	var secret corev1.Secret
	if err := d.reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: d.secret}, &secret); err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/documents", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", api.DefaultMediaType)
	var credential []byte // that is renewed
	switch d.kind {
	case byCredentials:
		request.Header.Set("Authorization", string(secret.Data["authorization_basic"]))
		request.Header.Set("X-User-Identifier", string(secret.Data["user_identifier"]))
	case byJWT:
		request.Header.Set("X-JWT-Authorization", string(secret.Data["x_jwt_authorization"]))
		credential = secret.Data["jwt"]
	case byToken:
		request.Header.Set("Authorization", string(secret.Data["authorization"]))
		credential = secret.Data["access_token"]
	}
	answer, err := d.http.Do(request)
	if err != nil {
		return fmt.Errorf("cannot be used: %w", err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("is refused by Gini with status %d", answer.StatusCode)
	}
	if d.kind.renewed() {
		d.renewed(string(credential))
	}
	return nil
}

// renewed tells of a token or a JWT that was not there before.
func (d *device) renewed(credential string) {
	fingerprint := emulator.Fingerprint(credential)
	if fingerprint == d.fingerprint {
		return
	}
	if d.fingerprint != "" {
		d.renewals++
		d.out.Say("%-26s new %-12s %s in place of %s, renewal %d", d.secret, d.kind, fingerprint, d.fingerprint, d.renewals)
	}
	d.fingerprint = fingerprint
}

// tell says when trouble comes and goes.
func (d *device) tell(err error) {
	trouble := ""
	if err != nil {
		trouble = err.Error()
	}
	switch {
	case trouble == d.trouble:
	case trouble != "":
		d.out.Say("%-26s %s", d.secret, trouble)
	default:
		d.out.Say("%-26s works again", d.secret)
	}
	d.trouble = trouble
}
