// Package jwks serves the JWK Sets of GiniClients over HTTP: the public keys with which Gini checks the JWTs that the operator
// signs. Whoever reaches its port reads what is public anyway, and nothing that a request says changes the answer but the path.
package jwks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// MaxAge is how long those who fetch a set may keep it. A new key is published much longer than this before it signs.
const MaxAge = 5 * time.Minute

// Sets are the JWK Sets that are served, by the GiniClient that each belongs to. It is an http.Handler, safe for concurrent use.
// Every replica serves, not only the leader.
type Sets struct {
	known func(ctx context.Context, name types.NamespacedName) (exists bool, err error)

	mu   sync.RWMutex
	sets map[types.NamespacedName]set
}

// set is a JWK Set as it is sent. It is never changed, only replaced.
type set struct {
	body string
	etag string
}

// NewSets makes a store without sets. Of a set that was not Put, known tells whether it is one to wait for: so a replica that
// has only just started does not deny a set that it has yet to read. It is asked for well-formed names only, and once for each
// such request: answer from a cache.
func NewSets(known func(ctx context.Context, name types.NamespacedName) (exists bool, err error)) *Sets {
	return &Sets{known: known, sets: map[types.NamespacedName]set{}}
}

// Put serves a GiniClient's set from now on, in place of the one before. The body is a whole JWK Set of public keys; it is copied.
func (s *Sets) Put(name types.NamespacedName, body []byte) {
	sum := sha256.Sum256(body)
	made := set{body: string(body), etag: `"` + hex.EncodeToString(sum[:]) + `"`}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sets[name] = made
}

// Remove ends serving a GiniClient's set. Where there is none, nothing happens.
func (s *Sets) Remove(name types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sets, name)
}

func (s *Sets) find(name types.NamespacedName) (set, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found, ok := s.sets[name]
	return found, ok
}
