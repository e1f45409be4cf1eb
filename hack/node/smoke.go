//go:build linux

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"
)

//go:embed manifests/smoke.yaml
var smokeManifest string

const (
	smokeNamespace = "gini-cluster-smoke"
	// secretPatience is how long a kubelet with its default settings may take to show a changed Secret, with some to spare.
	secretPatience = 4 * time.Minute
)

// smoke tries what the project's tests rely on, in pods under the restricted Pod Security Standard: a Service by its name, the API server
// by its name and a service account, logs; and, as that may take a minute and a half, only where it is asked for, a changed Secret.
func smoke(ctx context.Context, secret bool) error {
	manifest, err := filled(smokeManifest, map[string]any{"Namespace": smokeNamespace, "Image": probeImage, "Secret": secret})
	if err != nil {
		return err
	}
	say("trying it with two pods")
	remove := succeeds(ctx, "delete", "namespace", smokeNamespace, "--ignore-not-found", "--timeout=90s")
	if err = remove(); err != nil { // what an earlier one left for people to look at, because it failed
		return err
	}
	// A pod is refused until its namespace has got its service account.
	err = poll(ctx, "a pod", func() error {
		_, refused := kubectl(ctx, manifest, "apply", "--server-side", "-f", "-")
		return refused
	})
	if err != nil {
		return err
	}
	if err := sees(ctx, upPatience, "api server: "); err != nil {
		return err
	}
	if secret {
		patched := time.Now()
		if _, err := kubectl(ctx, "", "patch", "secret", "changing", "-n", smokeNamespace, "--patch", `{"stringData": {"value": "after"}}`); err != nil {
			return err
		}
		if err := sees(ctx, secretPatience, "file: after"); err != nil {
			return err
		}
		say("a changed Secret is in the pod after %.0f s", time.Since(patched).Seconds())
	}
	if _, err := kubectl(ctx, "", "wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s", "-n", smokeNamespace, "pod/check"); err != nil {
		return err
	}
	say("DNS, Services, service accounts and logs work")
	return remove()
}

// sees waits for a line of the pod that checks.
func sees(ctx context.Context, patience time.Duration, line string) error {
	for deadline := time.Now().Add(patience); ; {
		said, err := kubectl(ctx, "", "logs", "-n", smokeNamespace, "check")
		if err == nil && strings.Contains(said, line) {
			return nil
		}
		if phase, _ := kubectl(ctx, "", "get", "pod", "-n", smokeNamespace, "check", "-o", "jsonpath={.status.phase}"); phase == "Failed" {
			return fmt.Errorf("the pod that checks has failed; it says:\n%s", said)
		}
		if time.Now().After(deadline) {
			events, _ := kubectl(ctx, "", "get", "pods,events", "-n", smokeNamespace)
			return errors.Join(fmt.Errorf("the pod that checks has not said %q within %s; it says:\n%s\n%s", line, patience, said, events), err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * pause):
		}
	}
}
