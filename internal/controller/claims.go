package controller

import (
	"context"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/target"
)

// claims sees to it that one derived user of Gini is one GiniUser. Two GiniUsers stand in each other's way where they use the same
// GiniClient, or the same client secret: nobody can claim a user of a client whose secret he does not have, and whoever
// holds one keeps it when the secret is replaced.
//
// Who holds what is told by the Secrets: the claims are read from them before the first is made, so that a restart does
// not hand a user to somebody else.
type claims struct {
	mu        sync.Mutex
	loaded    bool
	bySubject map[string][]claim
	held      map[types.NamespacedName]string
	waiting   map[string]map[types.NamespacedName]bool
}

// claim is one GiniUser's claim to a subject.
type claim struct {
	user types.NamespacedName
	// client is the GiniClient, and secret the fingerprint of the client secret, that it is made with; "" where that is not
	// known yet, after a restart.
	client types.NamespacedName
	secret string
}

func (c claim) rivals(other claim) bool {
	return c.user != other.user && (c.client == other.client || (c.secret != "" && c.secret == other.secret))
}

// claim is what the user claims its subject with.
func (s *scope) claim() claim {
	return claim{user: s.key(), client: clientKey(s.user), secret: s.application.ClientSecret.Fingerprint()}
}

// loadClaims makes the claims of all users that have a Secret to show for it, the oldest first. It is done again until it was
// done once. It reads caches only, so that no client's trouble holds up all others' users.
func (r *GiniUserReconciler) loadClaims(ctx context.Context) error {
	r.claims.mu.Lock()
	defer r.claims.mu.Unlock()
	if r.claims.loaded {
		return nil
	}
	r.claims.bySubject, r.claims.held = map[string][]claim{}, map[types.NamespacedName]string{}
	r.claims.waiting = map[string]map[types.NamespacedName]bool{}
	var users api.GiniUserList
	if err := r.Reader.List(ctx, &users); err != nil {
		return err
	}
	slices.SortFunc(users.Items, func(a, b api.GiniUser) int {
		if older(&a, &b) {
			return -1
		}
		return 1
	})
	for i := range users.Items {
		subject, err := r.shownSubject(ctx, &users.Items[i])
		if err != nil {
			return err
		}
		if subject != "" {
			shown := claim{user: client.ObjectKeyFromObject(&users.Items[i]), client: clientKey(&users.Items[i])}
			r.claims.bySubject[subject] = append(r.claims.bySubject[subject], shown)
			r.claims.held[shown.user] = subject
		}
	}
	r.claims.loaded = true
	return nil
}

// shownSubject is the subject that a derived user's Secret was issued for; "" where it has none, or no grant.
func (r *GiniUserReconciler) shownSubject(ctx context.Context, user *api.GiniUser) (string, error) {
	if user.Spec.Derived == nil || !user.DeletionTimestamp.IsZero() {
		return "", nil
	}
	s := r.newScope(user)
	if err := r.observeSecrets(ctx, s); err != nil {
		return "", err
	}
	if err := r.run(ctx, s, r.resolveClient); err != nil || s.refused {
		return "", err
	}
	for _, wanted := range s.devices() {
		if wanted.meta != nil && target.OwnerOf(wanted.meta, user) == target.Ours && wanted.readable {
			return wanted.record.IssuedFor, nil
		}
	}
	return "", nil
}

// take claims a subject for a GiniUser, and gives up what it held before. Where somebody else holds it, that holder is
// returned, and the GiniUser is remembered as waiting for it. freed are GiniUsers to look at again.
func (c *claims) take(subject string, made claim) (holder types.NamespacedName, ok bool, freed []types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before, holds := c.held[made.user]; holds && before != subject {
		freed = c.free(made.user)
	}
	for i, existing := range c.bySubject[subject] {
		if existing.user == made.user { // those that came later give way
			c.bySubject[subject][i] = made
			return made.user, true, freed
		}
		if existing.rivals(made) {
			if c.waiting[subject] == nil {
				c.waiting[subject] = map[types.NamespacedName]bool{}
			}
			c.waiting[subject][made.user] = true
			return existing.user, false, append(freed, c.free(made.user)...)
		}
	}
	c.bySubject[subject] = append(c.bySubject[subject], made)
	c.held[made.user] = subject
	delete(c.waiting[subject], made.user)
	return made.user, true, freed
}

// release gives up what a GiniUser holds, and returns the GiniUsers that wait for it.
func (c *claims) release(user types.NamespacedName) []types.NamespacedName {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.free(user)
}

func (c *claims) free(user types.NamespacedName) []types.NamespacedName {
	subject, holds := c.held[user]
	if !holds {
		return nil
	}
	delete(c.held, user)
	c.bySubject[subject] = slices.DeleteFunc(c.bySubject[subject], func(existing claim) bool { return existing.user == user })
	if len(c.bySubject[subject]) == 0 {
		delete(c.bySubject, subject)
	}
	waiting := slices.Collect(maps.Keys(c.waiting[subject]))
	delete(c.waiting, subject)
	return slices.DeleteFunc(waiting, func(other types.NamespacedName) bool { return other == user })
}
