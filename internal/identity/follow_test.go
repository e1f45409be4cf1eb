package identity_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/identity"
)

// TestFollow goes through what people do with keys of their own, each time from where the former line left it.
func TestFollow(t *testing.T) {
	a, b, c := fresh(), fresh(), fresh()
	names := map[string]string{"": "", a.ID(): "a", b.ID(): "b", c.ID(): "c"}
	const hour = time.Hour
	for _, c := range []struct {
		name  string
		steps []struct {
			now       time.Duration
			key, next *identity.Key
			want      string // keys with the first letter of their stage, and changes
			at        time.Duration
		}
	}{
		{"announced", []followed{
			{0, a, nil, "aS; KeyCreated a", 0},
			{hour, a, nil, "aS;", 0},
			{2 * hour, a, b, "aS bN; KeyPublished b", 0},
			{3 * hour, a, b, "aS bN;", 0},
			{30 * hour, b, nil, "bS aR; KeyPromoted b", 55 * hour},
			{55*hour - 1, b, nil, "bS aR;", 55 * hour},
			{55 * hour, b, nil, "bS; KeyWithdrawn a", 0},
		}},
		{"announced along with the next but one", []followed{
			{0, a, b, "aS bN; KeyCreated a KeyPublished b", 0},
			{hour, b, c, "bS cN aR; KeyPromoted b KeyPublished c", 26 * hour},
		}},
		{"not announced", []followed{
			{0, a, nil, "aS; KeyCreated a", 0},
			{hour, b, nil, "bS aR; KeyReplaced b", 26 * hour},
			{2 * hour, c, nil, "cS bR aR; KeyReplaced c", 26 * hour},
		}},
		{"another than was announced", []followed{
			{0, a, b, "aS bN; KeyCreated a KeyPublished b", 0},
			{hour, c, b, "cS bN aR; KeyReplaced c", 26 * hour},
			{2 * hour, c, nil, "cS aR; KeyDiscarded b", 26 * hour},
		}},
		{"the same key twice", []followed{
			{0, a, a, "aS; KeyCreated a", 0},
			{hour, b, b, "bS aR; KeyReplaced b", 26 * hour},
		}},
		{"back to a retired key", []followed{
			{0, a, nil, "aS; KeyCreated a", 0},
			{hour, b, nil, "bS aR; KeyReplaced b", 26 * hour},
			{2 * hour, a, nil, "aS bR; KeyReplaced a", 27 * hour},
			{3 * hour, b, a, "bS aN; KeyReplaced b KeyPublished a", 0},
		}},
		{"a retired key is the next one for a while", []followed{
			{0, a, nil, "aS; KeyCreated a", 0},
			{hour, b, nil, "bS aR; KeyReplaced b", 26 * hour},
			{2 * hour, b, a, "bS aN; KeyPublished a", 0},
			{3 * hour, b, nil, "bS aR;", 26 * hour},
			{4 * hour, b, a, "bS aN; KeyPublished a", 0},
			{27 * hour, b, nil, "bS; KeyDiscarded a", 0},
		}},
		{"no key", []followed{
			{0, nil, nil, ";", 0},
			{0, a, nil, "aS; KeyCreated a", 0},
			{hour, nil, nil, "aS;", 0},
		}},
		{"the clock steps back", []followed{
			{0, a, b, "aS bN; KeyCreated a KeyPublished b", 0},
			{-9000 * hour, a, b, "aS bN;", 0},
			{-9001 * hour, b, nil, "bS aR; KeyPromoted b", -8976 * hour},
		}},
	} {
		var ring identity.Ring
		for i, step := range c.steps {
			followed, changes, at := ring.Follow(step.key, step.next, ninety, noon.Add(step.now))
			got := ""
			for _, key := range followed.Keys {
				got += names[key.Public.ID] + string(key.Stage[0]) + " "
				if (key.Private == nil) != (key.Stage == identity.StageRetired) && step.key != nil {
					t.Errorf("%s, step %d: %+v", c.name, i, key)
				}
			}
			got = trimmed(got) + ";"
			for _, change := range changes {
				got += " " + string(change.Kind) + " " + names[change.KeyID]
			}
			want := time.Time{}
			if step.at != 0 {
				want = noon.Add(step.at)
			}
			if got != step.want || !at.Equal(want) {
				t.Fatalf("%s, step %d: %q, next at %s, want %q, next at %s", c.name, i, got, at, step.want, want)
			}
			ring = withoutPrivates(followed) // as a status holds it
		}
	}
}

type followed = struct {
	now       time.Duration
	key, next *identity.Key
	want      string
	at        time.Duration
}

func trimmed(text string) string {
	if text == "" {
		return ""
	}
	return text[:len(text)-1]
}

func withoutPrivates(ring identity.Ring) identity.Ring {
	var bare identity.Ring
	for _, key := range ring.Keys {
		key.Private = nil
		bare.Keys = append(bare.Keys, key)
	}
	return bare
}

// TestFollowAnotherAlgorithm: the key is the same, but whoever has it in a cache knows it by the former algorithm.
func TestFollowAnotherAlgorithm(t *testing.T) {
	rs, ps := keyFor(identity.RS256), keyFor(identity.PS256)
	ring, _, _ := identity.Ring{}.Follow(rs, nil, ninety, noon)
	ring, changes, _ := withoutPrivates(ring).Follow(ps, nil, ninety, noon.Add(time.Hour))
	if got := shape(ring, changes); got != "[Signing] [KeyReplaced]" || ring.Keys[0].Public != ps.Public() || ring.Keys[0].Private.Algorithm() != identity.PS256 {
		t.Errorf("signing: %s, %+v", got, ring.Keys)
	}

	ring, _, _ = identity.Ring{}.Follow(fresh(), rs, ninety, noon)
	next, changes, _ := withoutPrivates(ring).Follow(keyFor(identity.ES256), ps, ninety, noon)
	if got := shape(next, changes); got != "[Signing Next Retired] [KeyReplaced KeyPublished]" || next.Keys[1].Public != ps.Public() {
		t.Errorf("next: %s, %+v", got, next.Keys)
	}
	_, changes, _ = withoutPrivates(ring).Follow(ps, nil, ninety, noon)
	if changes[0].Kind != identity.KeyReplaced {
		t.Errorf("from next to signing: %v", changes)
	}
}

// TestFollowTakesLifetimesIntoAccount: also those that came since the ring was written down.
func TestFollowTakesLifetimesIntoAccount(t *testing.T) {
	a, b := fresh(), fresh()
	long := ninety
	long.Lifetime = 10 * time.Hour
	ring, _, _ := identity.Ring{}.Follow(a, nil, ninety, noon)
	if ring.Keys[0].Longest != time.Hour {
		t.Errorf("%+v", ring.Keys)
	}
	ring, changes, _ := ring.Follow(a, nil, long, noon)
	if ring.Keys[0].Longest != 10*time.Hour || len(changes) != 0 {
		t.Errorf("%+v, %v", ring.Keys, changes)
	}
	ring, _, at := ring.Follow(b, nil, ninety, noon.Add(day))
	if ring.Keys[0].Longest != time.Hour || ring.Keys[1].Longest != 10*time.Hour || !at.Equal(noon.Add(2*day+10*time.Hour)) {
		t.Errorf("%+v, next at %s", ring.Keys, at)
	}
	// What a key signed before it retired counts when it retires again.
	ring, _, _ = ring.Follow(a, nil, ninety, noon.Add(day))
	ring, _, _ = ring.Follow(b, nil, ninety, noon.Add(day))
	if !ring.Keys[1].Until.Equal(noon.Add(2*day + 10*time.Hour)) {
		t.Errorf("%+v", ring.Keys[1])
	}
}

// TestFollowAnything: whatever people do, one key signs, no key is listed twice, and what signed stays published for long
// enough unless there are too many.
func TestFollowAnything(t *testing.T) {
	pool := make([]*identity.Key, 12)
	for i := range pool {
		pool[i] = fresh()
	}
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		var ring identity.Ring
		model := newModel()
		now := noon
		current := pool[0]
		for range 60 {
			policy := ninety
			policy.Lifetime = time.Duration(1+random.IntN(1440)) * time.Minute
			if random.IntN(3) == 0 {
				current = pool[random.IntN(len(pool))]
			}
			var next *identity.Key
			if random.IntN(2) == 0 {
				next = pool[random.IntN(len(pool))]
			}
			before := must(encodable(ring).Encode())
			followed, changes, at := ring.Follow(current, next, policy, now)
			sameData(t, before, must(encodable(ring).Encode()))
			model.watch(t, followed, changes, policy, now)
			if again, changes, later := followed.Follow(current, next, policy, now); len(changes) != 0 || !later.Equal(at) {
				t.Fatalf("once more: %v", changes)
			} else {
				sameData(t, must(followed.Encode()), must(again.Encode()))
			}
			if signing, _ := followed.Signing(); signing.Private != current {
				t.Fatalf("%v signs", signing.Public)
			}
			if !at.IsZero() && !at.After(now) {
				t.Fatalf("due at %s, which is past", at)
			}
			ring = withoutPrivates(followed)
			now = now.Add(time.Duration(random.Int64N(int64(20 * time.Hour))))
		}
	}
}

// encodable adds a private half where there is none, so that a ring of public halves can be compared as a whole.
func encodable(ring identity.Ring) identity.Ring {
	some := keyFor(identity.ES384)
	keys := []identity.RingKey{{Public: some.Public(), Private: some, Stage: identity.StageSigning}}
	return identity.Ring{Keys: append(keys, ring.Keys...)}
}
