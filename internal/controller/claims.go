package controller

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/target"
)

// claims sees to it that one derived user of Gini is one GiniUser. They are kept by the subject and by the client secret that is
// used for it, so that nobody can claim a user of a client whose secret he does not have.
//
// Who holds what is told by the Secrets: the claims are read from them before the first is made, so that a restart does
// not hand a user to somebody else.
type claims struct {
	mu      sync.Mutex
	loaded  bool
	holders map[string]types.NamespacedName
	held    map[types.NamespacedName]string
	waiting map[string]map[types.NamespacedName]bool
}

// claimOf is the claim of a derived user.
func (s *scope) claimOf(identifier string) string {
	return s.subject(identifier).Hash() + "/" + s.application.ClientSecret.Fingerprint()
}

// loadClaims makes the claims of all users that have a Secret to show for it. It is done again until it was done once.
func (r *GiniUserReconciler) loadClaims(ctx context.Context) error {
	r.claims.mu.Lock()
	defer r.claims.mu.Unlock()
	if r.claims.loaded {
		return nil
	}
	r.claims.holders, r.claims.held = map[string]types.NamespacedName{}, map[types.NamespacedName]string{}
	r.claims.waiting = map[string]map[types.NamespacedName]bool{}
	var users api.GiniUserList
	if err := r.Reader.List(ctx, &users); err != nil {
		return err
	}
	for i := range users.Items {
		claim, err := r.shownClaim(ctx, &users.Items[i])
		if err != nil {
			return err
		}
		if _, taken := r.claims.holders[claim]; claim != "" && !taken {
			key := client.ObjectKeyFromObject(&users.Items[i])
			r.claims.holders[claim], r.claims.held[key] = key, claim
		}
	}
	r.claims.loaded = true
	return nil
}

// shownClaim is the claim of a user that is granted its client, and has a Secret that was issued for it; "" where it has none.
func (r *GiniUserReconciler) shownClaim(ctx context.Context, user *api.GiniUser) (string, error) {
	if user.Spec.Derived == nil || !user.DeletionTimestamp.IsZero() {
		return "", nil
	}
	s := r.newScope(user)
	if err := r.observeSecrets(ctx, s); err != nil {
		return "", err
	}
	if err := r.run(ctx, s, r.resolveClient, r.resolveApplication); err != nil || s.problem != nil {
		return "", err
	}
	for _, wanted := range s.devices() {
		if wanted.meta == nil || target.OwnerOf(wanted.meta, user) != target.Ours || wanted.record.IssuedFor == "" {
			continue
		}
		subject := s.subject(user.Spec.Derived.Identifier)
		issuedFor := subject.Hash()
		if user.Spec.Derived.IdentifierSecretRef != nil {
			issuedFor = subject.SameUser(wanted.record.IssuedFor)
		}
		if issuedFor == wanted.record.IssuedFor {
			return issuedFor + "/" + s.application.ClientSecret.Fingerprint(), nil
		}
	}
	return "", nil
}

// take claims a derived user for a GiniUser, and gives up what it held before. Where somebody else holds it, that
// holder is returned, and the GiniUser is remembered as waiting for it. freed are GiniUsers to look at again.
func (c *claims) take(claim string, user types.NamespacedName) (holder types.NamespacedName, ok bool, freed []types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before, holds := c.held[user]; holds && before != claim {
		freed = c.free(user)
	}
	if holder, taken := c.holders[claim]; taken && holder != user {
		if c.waiting[claim] == nil {
			c.waiting[claim] = map[types.NamespacedName]bool{}
		}
		c.waiting[claim][user] = true
		return holder, false, freed
	}
	c.holders[claim], c.held[user] = user, claim
	delete(c.waiting[claim], user)
	return user, true, freed
}

// release gives up what a GiniUser holds, and returns the GiniUsers that wait for it.
func (c *claims) release(user types.NamespacedName) []types.NamespacedName {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.free(user)
}

func (c *claims) free(user types.NamespacedName) []types.NamespacedName {
	claim, holds := c.held[user]
	if !holds {
		return nil
	}
	delete(c.held, user)
	delete(c.holders, claim)
	waiting := make([]types.NamespacedName, 0, len(c.waiting[claim]))
	for key := range c.waiting[claim] {
		waiting = append(waiting, key)
	}
	delete(c.waiting, claim)
	return waiting
}
