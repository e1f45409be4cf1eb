package controller

import (
	"sync"
	"time"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/agenda"
)

// setbacks are the times by which the wall clock was seen to be set back. What was obtained before is older than the clock says by that
// much, and its end is nearer. They are known as long as the process lives.
type setbacks struct {
	mu   sync.Mutex
	last time.Time
	seen []setback
}

// setback is one time: what the clock showed after it, and by how much it was set back at most.
type setback struct {
	at time.Time
	by time.Duration
}

const (
	// setbackTolerance is by how much a clock may be corrected without anybody taking notice.
	setbackTolerance = 5 * time.Second
	// rememberedSetbacks bounds the list: those before are added up.
	rememberedSetbacks = 16
)

// observe looks at the clock, at least at every sweep.
func (s *setbacks) observe(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if back := s.last.Sub(now); !s.last.IsZero() && back > setbackTolerance {
		// Between the last look and the step some time passed, which the clock does not show.
		s.seen = append(s.seen, setback{at: now, by: back + agenda.Interval})
		if len(s.seen) > rememberedSetbacks {
			s.seen[1].by += s.seen[0].by
			s.seen = s.seen[1:]
		}
	}
	s.last = now
}

// since is by how much the clock was set back since an instant that it showed.
func (s *setbacks) since(obtained time.Time) (by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, step := range s.seen {
		if obtained.Before(step.at) {
			by += step.by
		}
	}
	return by
}

// correct brings forward when a user is looked at whose credentials are older than the clock says.
func (s *setbacks) correct(user *api.GiniUser, entry agenda.Entry) agenda.Entry {
	if entry.DueAt.IsZero() || user.Spec.Suspend || user.Status.Attempt != nil {
		return entry
	}
	for _, device := range expiringDevices(user) {
		if device.RefreshAt != nil && device.LastRefreshAt != nil {
			if by := s.since(device.LastRefreshAt.Time); by > 0 {
				entry.DueAt = earlier(entry.DueAt, device.RefreshAt.Add(-by))
			}
		}
	}
	return entry
}
