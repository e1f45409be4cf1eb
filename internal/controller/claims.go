package controller

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/target"
)

// claims sees to it that one derived user of Gini is one GiniUser. Who holds which is told by the Secrets: the claims
// are read from them at first use, so that a restart does not hand a user to somebody else.
type claims struct {
	seed sync.Once
	err  error

	mu      sync.Mutex
	holders map[string]types.NamespacedName
	held    map[types.NamespacedName]string
	waiting map[string]map[types.NamespacedName]bool
}

// load reads who holds what from the metadata of the Secrets.
func (c *claims) load(ctx context.Context, metadata client.Reader, users client.Reader) error {
	c.seed.Do(func() {
		c.holders, c.held = map[string]types.NamespacedName{}, map[types.NamespacedName]string{}
		c.waiting = map[string]map[types.NamespacedName]bool{}
		var secrets metav1.PartialObjectMetadataList
		secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
		if c.err = metadata.List(ctx, &secrets, client.MatchingLabels{api.ManagedByLabel: api.ManagedByValue}); c.err != nil {
			return
		}
		for i := range secrets.Items {
			secret := &secrets.Items[i]
			holder := target.HolderOf(secret)
			issuedFor := secret.Annotations[api.IssuedForAnnotation]
			if holder == "" || issuedFor == "" {
				continue
			}
			var user api.GiniUser
			key := types.NamespacedName{Namespace: secret.Namespace, Name: holder}
			if err := users.Get(ctx, key, &user); err != nil || user.Spec.Derived == nil || target.OwnerOf(secret, &user) != target.Ours {
				continue
			}
			if _, taken := c.holders[issuedFor]; !taken {
				c.holders[issuedFor], c.held[key] = key, issuedFor
			}
		}
	})
	return c.err
}

// take claims a derived user for a GiniUser, and gives up what it held before. Where somebody else holds it, that
// holder is returned, and the GiniUser is remembered as waiting for it. freed are GiniUsers to look at again.
func (c *claims) take(hash string, user types.NamespacedName) (holder types.NamespacedName, ok bool, freed []types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before, holds := c.held[user]; holds && before != hash {
		freed = c.free(user)
	}
	if holder, taken := c.holders[hash]; taken && holder != user {
		if c.waiting[hash] == nil {
			c.waiting[hash] = map[types.NamespacedName]bool{}
		}
		c.waiting[hash][user] = true
		return holder, false, freed
	}
	c.holders[hash], c.held[user] = user, hash
	delete(c.waiting[hash], user)
	return user, true, freed
}

// release gives up what a GiniUser holds, and returns the GiniUsers that wait for it.
func (c *claims) release(user types.NamespacedName) []types.NamespacedName {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.free(user)
}

func (c *claims) free(user types.NamespacedName) []types.NamespacedName {
	hash, holds := c.held[user]
	if !holds {
		return nil
	}
	delete(c.held, user)
	delete(c.holders, hash)
	var waiting []types.NamespacedName
	for key := range c.waiting[hash] {
		waiting = append(waiting, key)
	}
	delete(c.waiting, hash)
	return waiting
}
