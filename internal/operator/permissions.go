package operator

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// right is what the operator may have to do with objects that are not its own.
type right struct {
	group, resource string
	verbs           []string
}

var (
	nudgeRights   = []right{{"", "pods", []string{"list", "watch", "patch"}}}
	restartRights = []right{
		{"apps", "deployments", []string{"get", "list", "watch", "patch"}},
		{"apps", "statefulsets", []string{"get", "list", "watch", "patch"}},
		{"apps", "daemonsets", []string{"get", "list", "watch", "patch"}},
	}
)

// Permitted leaves out of options what the operator's account has no rights for, and says so: nudges and restarts are a help, and renewals
// must not stop because a right for them is missing. It asks the API server, which takes no rights.
func Permitted(ctx context.Context, api client.Client, options Options, log logr.Logger) (Options, error) {
	namespaces := without(options.WatchNamespaces, options.Unreadable)
	if len(namespaces) == 0 && len(options.WatchNamespaces) > 0 {
		return options, nil // where nothing is served, nothing is needed
	}
	for _, feature := range []struct {
		wanted *bool
		flag   string
		rights []right
	}{
		{&options.NudgePods, "--nudge-pods", nudgeRights},
		{&options.RolloutRestarts, "--rollout-restarts", restartRights},
	} {
		if !*feature.wanted {
			continue
		}
		missing, err := missingRight(ctx, api, feature.rights, namespaces)
		if err != nil {
			return options, fmt.Errorf("the API server does not say what rights the operator has: %w", err)
		}
		if missing != "" {
			*feature.wanted = false
			log.Error(nil, "A right is missing, so this is off; everything else goes on. Give the operator the right, and start it again",
				"flag", feature.flag, "missing", missing)
		}
	}
	return options, nil
}

// missingRight is the first right that is missing; "" where none is.
func missingRight(ctx context.Context, api client.Client, rights []right, namespaces []string) (string, error) {
	if len(namespaces) == 0 {
		namespaces = []string{""} // all of them
	}
	for _, namespace := range namespaces {
		for _, wanted := range rights {
			for _, verb := range wanted.verbs {
				review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
					ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: wanted.group, Resource: wanted.resource},
				}}
				if err := api.Create(ctx, review); err != nil {
					return "", err
				}
				if !review.Status.Allowed {
					where := "in all namespaces"
					if namespace != "" {
						where = "in namespace " + namespace
					}
					return fmt.Sprintf("%s %s %s", verb, wanted.resource, where), nil
				}
			}
		}
	}
	return "", nil
}
