package identity_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/identity"
)

// model is what somebody sees who looks at the JWK Set and at the JWTs all the time.
type model struct {
	published map[string]time.Time // since when
	stopped   map[string]time.Time // when a key was last seen to sign
	longest   map[string]time.Duration
	signing   string
	stages    map[string]identity.Stage
}

func newModel() *model {
	return &model{
		published: map[string]time.Time{}, stopped: map[string]time.Time{}, longest: map[string]time.Duration{}, stages: map[string]identity.Stage{},
	}
}

// watch checks what must always hold, and that the changes tell what happened.
func (m *model) watch(t *testing.T, ring identity.Ring, changes []identity.Change, policy identity.Policy, now time.Time) {
	t.Helper()
	stages, retired, order := map[string]identity.Stage{}, 0, ""
	for _, key := range ring.Keys {
		if stages[key.Public.ID] != "" {
			t.Fatalf("a key is listed twice: %+v", ring.Keys)
		}
		stages[key.Public.ID] = key.Stage
		order += string(key.Stage[0])
		if key.Stage == identity.StageRetired {
			retired++
		}
		if since, known := m.published[key.Public.ID]; !known || since.After(now) { // a clock that stepped back
			m.published[key.Public.ID] = now
		}
	}
	signing, signs := ring.Signing()
	want := "S"
	if _, next := ring.Next(); next {
		want = "SN"
	}
	if want += strings.Repeat("R", retired); !signs || order != want || len(order) > 8 || signing.Private == nil || signing.Private.Public() != signing.Public {
		t.Fatalf("the ring is %s", order)
	}

	for id := range m.published {
		if _, still := stages[id]; still {
			continue
		}
		if stopped, signed := m.stopped[id]; signed && now.Before(stopped.Add(m.longest[id]+identity.CacheTime)) && retired < 6 {
			t.Fatalf("at %s a key is gone that signed at %s for %s", now, stopped, m.longest[id])
		}
		delete(m.published, id)
		delete(m.stopped, id)
		delete(m.longest, id)
	}
	m.tell(t, stages, changes)
	if m.signing != "" {
		m.stopped[m.signing] = now
	}
	m.stopped[signing.Public.ID] = now
	m.longest[signing.Public.ID] = max(m.longest[signing.Public.ID], policy.Lifetime)
	m.signing, m.stages = signing.Public.ID, stages
}

// tell checks that the changes are those between two rings.
func (m *model) tell(t *testing.T, stages map[string]identity.Stage, changes []identity.Change) {
	t.Helper()
	told := map[string]identity.ChangeKind{}
	for _, change := range changes {
		told[change.KeyID] = change.Kind
	}
	expect := func(id string, kinds ...identity.ChangeKind) {
		for _, kind := range kinds {
			if told[id] == kind {
				delete(told, id)
				return
			}
		}
		t.Fatalf("%s of a key that goes from %q to %q, want %v", told[id], m.stages[id], stages[id], kinds)
	}
	for id, stage := range stages {
		if stage == m.stages[id] {
			continue
		}
		switch stage {
		case identity.StageSigning:
			expect(id, identity.KeyCreated, identity.KeyPromoted, identity.KeyReplaced)
		case identity.StageNext:
			expect(id, identity.KeyPublished)
		}
	}
	for id, stage := range m.stages {
		switch {
		case stages[id] != "":
		case stage == identity.StageNext:
			expect(id, identity.KeyDiscarded)
		default:
			expect(id, identity.KeyWithdrawn)
		}
	}
	if len(told) != 0 {
		t.Fatalf("changes that are none: %v", told)
	}
}

func sameData(t *testing.T, a, b map[string][]byte) {
	t.Helper()
	if !maps.EqualFunc(a, b, bytes.Equal) {
		t.Fatalf("%s\nbecame %s", a[identity.DataRecords], b[identity.DataRecords])
	}
}

// TestYears lets rings live through years of changing policies, downtimes, jumps of the clock and restarts (R11.5).
func TestYears(t *testing.T) {
	for seed := range uint64(60) {
		life := &years{random: rand.New(rand.NewPCG(seed, 2)), now: noon, model: newModel()}
		life.policy = life.anyPolicy()
		for range 100 {
			life.step(t, seed%3 == 0)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}

type years struct {
	random *rand.Rand
	now    time.Time
	ring   identity.Ring
	policy identity.Policy
	model  *model
}

func (y *years) anyPolicy() identity.Policy {
	return identity.Policy{
		Algorithm: []identity.Algorithm{identity.ES256, identity.ES256, identity.ES384}[y.random.IntN(3)],
		Interval:  2*day + time.Duration(y.random.Int64N(int64(40*day))),
		Lifetime:  time.Minute + time.Duration(y.random.Int64N(int64(day-time.Minute))),
	}
}

func (y *years) step(t *testing.T, steady bool) {
	t.Helper()
	before := y.ring
	var data map[string][]byte
	if len(before.Keys) > 0 {
		data = must(before.Encode())
	}
	ring, changes, at := advance(t, before, y.policy, y.now)
	if data != nil {
		sameData(t, data, must(before.Encode()))
	}
	y.published(t, ring, changes)
	y.model.watch(t, ring, changes, y.policy, y.now)
	y.settled(t, ring, at)

	y.ring = ring
	if y.random.IntN(3) == 0 {
		y.ring = must(identity.DecodeRing(must(ring.Encode()), "")) // a restart
	}
	y.pass(t, at, steady)
}

// published checks that a key that begins to sign was published for long enough.
func (y *years) published(t *testing.T, ring identity.Ring, changes []identity.Change) {
	t.Helper()
	signing, _ := ring.Signing()
	if y.model.signing == "" || y.model.signing == signing.Public.ID {
		return
	}
	if since, known := y.model.published[signing.Public.ID]; !known || y.now.Before(since.Add(identity.PublishAhead)) {
		t.Fatalf("at %s a key signs that is published since %s: %v", y.now, since, changes)
	}
}

// settled checks that nothing is left to do until at, and something at it.
func (y *years) settled(t *testing.T, ring identity.Ring, at time.Time) {
	t.Helper()
	if !at.After(y.now) {
		t.Fatalf("due at %s, which is past %s", at, y.now)
	}
	for _, instant := range []time.Time{y.now, at.Add(-1)} {
		again, changes, then := advance(t, ring, y.policy, instant)
		if len(changes) != 0 || !then.Equal(at) {
			t.Fatalf("%v at %s, before it is due at %s", changes, instant, at)
		}
		sameData(t, must(ring.Encode()), must(again.Encode()))
	}
	if _, changes, _ := advance(t, ring, y.policy, at); len(changes) == 0 {
		t.Fatalf("nothing happens at %s, when something is due", at)
	}
}

// pass lets time go by: mostly until something is due, now and then otherwise.
func (y *years) pass(t *testing.T, at time.Time, steady bool) {
	t.Helper()
	switch choice := y.random.IntN(12); {
	case choice == 0:
		y.policy = y.anyPolicy()
	case choice == 1:
		y.now = y.now.Add(time.Duration(y.random.Int64N(int64(400 * day)))) // a downtime
	case choice <= 3:
		y.now = y.now.Add(time.Duration(y.random.Int64N(int64(30 * time.Hour))))
	case choice == 4 && !steady:
		y.now = y.now.Add(-time.Duration(y.random.Int64N(int64(60 * day)))) // the clock steps back
	case choice == 5 && !steady:
		y.now = y.now.Add(-time.Duration(y.random.Int64N(int64(time.Minute))))
	case choice == 6 && y.random.IntN(10) == 0:
		rolled := must(y.ring.Roll(y.policy, y.now, identity.GenerateKey))
		y.ring, y.model = rolled, newModel()
		y.model.watch(t, rolled, []identity.Change{{Kind: identity.KeyCreated, KeyID: rolled.Keys[0].Public.ID}}, y.policy, y.now)
	default:
		y.now = at
	}
}
