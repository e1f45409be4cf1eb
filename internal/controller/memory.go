package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gini-operator/gini-operator/internal/target"
)

// memory is what the reconciler remembers of GiniUsers between reconciles, and may forget at any time: it only makes
// it quicker to be polite.
type memory struct {
	mu          sync.Mutex
	contentions map[secretOf]target.Contention
	verified    map[types.NamespacedName]int64
	endings     map[types.NamespacedName]int
}

type secretOf struct {
	user types.NamespacedName
	name string
}

func (m *memory) forget(user types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.contentions {
		if key.user == user {
			delete(m.contentions, key)
		}
	}
	delete(m.verified, user)
	delete(m.endings, user)
}

// contention returns the contention over a Secret, and forgets one that has ended.
func (m *memory) contention(user types.NamespacedName, secret string, now time.Time) target.Contention {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := secretOf{user, secret}
	known := m.contentions[key]
	if known.Ended(now) {
		delete(m.contentions, key)
	}
	return known
}

// repaired counts a repair of a Secret.
func (m *memory) repaired(user types.NamespacedName, secret string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.contentions == nil {
		m.contentions = map[secretOf]target.Contention{}
	}
	key := secretOf{user, secret}
	m.contentions[key] = m.contentions[key].Repaired(now)
}

// lastVerified returns the number of the last verification of a user's token; the first time, it is taken to be done up
// to number, so that a restart asks Gini nothing.
func (m *memory) lastVerified(user types.NamespacedName, number int64) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.verified == nil {
		m.verified = map[types.NamespacedName]int64{}
	}
	last, known := m.verified[user]
	if !known || last > number { // a new token starts counting anew
		m.verified[user] = number
		return number
	}
	return last
}

func (m *memory) setVerified(user types.NamespacedName, number int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.verified == nil {
		m.verified = map[types.NamespacedName]int64{}
	}
	m.verified[user] = number
}

// ended counts logins in a row that gave a token with no lifetime left.
func (m *memory) ended(user types.NamespacedName) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.endings == nil {
		m.endings = map[types.NamespacedName]int{}
	}
	m.endings[user]++
	return m.endings[user]
}

func (m *memory) alive(user types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.endings, user)
}
