package identity_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/identity"
)

var ninety = identity.Policy{Algorithm: identity.ES256, Interval: 90 * day, Lifetime: time.Hour}

// shape writes a ring down as its stages, and changes as their kinds.
func shape(ring identity.Ring, changes []identity.Change) string {
	var stages []identity.Stage
	for _, key := range ring.Keys {
		stages = append(stages, key.Stage)
	}
	var kinds []identity.ChangeKind
	for _, change := range changes {
		kinds = append(kinds, change.Kind)
	}
	return fmt.Sprint(stages, kinds)
}

func advance(t *testing.T, ring identity.Ring, policy identity.Policy, now time.Time) (identity.Ring, []identity.Change, time.Time) {
	t.Helper()
	next, changes, at, err := ring.Advance(policy, now, identity.GenerateKey)
	if err != nil {
		t.Fatal(err)
	}
	return next, changes, at
}

// TestARotation follows one from the first key to the withdrawal of it (R11.5).
func TestARotation(t *testing.T) {
	var ring identity.Ring
	var first string
	for i, step := range []struct {
		now, at time.Duration // from noon on
		want    string
	}{
		{0, 89 * day, "[Signing] [KeyCreated]"},
		{89*day - time.Second, 89 * day, "[Signing] []"},
		{89 * day, 90 * day, "[Signing Next] [KeyPublished]"},
		{90*day - time.Second, 90 * day, "[Signing Next] []"},
		{90 * day, 91*day + time.Hour, "[Signing Retired] [KeyPromoted]"},
		{91*day + time.Hour - time.Second, 91*day + time.Hour, "[Signing Retired] []"},
		{91*day + time.Hour, 179 * day, "[Signing] [KeyWithdrawn]"},
	} {
		next, changes, at := advance(t, ring, ninety, noon.Add(step.now))
		if got := shape(next, changes); got != step.want || !at.Equal(noon.Add(step.at)) {
			t.Fatalf("after %s: %s, next at %s, want %s, next at %s", step.now, got, at.Sub(noon), step.want, step.at)
		}
		if i == 0 {
			first = next.Keys[0].Public.ID
		}
		ring = next
	}
	if signing, _ := ring.Signing(); signing.Public.ID == first || signing.Longest != time.Hour || !signing.Since.Equal(noon.Add(90*day)) {
		t.Errorf("%+v", signing)
	}
}

// TestAdvance begins each time with a ring of a signing key since noon.
func TestAdvance(t *testing.T) {
	es384 := ninety
	es384.Algorithm = identity.ES384
	short := ninety
	short.Interval = time.Hour
	zero := identity.Policy{Algorithm: identity.ES256}
	type step struct {
		now    time.Duration
		policy identity.Policy
		want   string
		at     time.Duration
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"another algorithm", []step{
			{day, es384, "[Signing Next] [KeyPublished]", 2 * day},
			{2 * day, es384, "[Signing Retired] [KeyPromoted]", 3*day + time.Hour},
			{3*day + time.Hour, es384, "[Signing] [KeyWithdrawn]", 91 * day},
		}},
		{"another algorithm and back", []step{
			{day, es384, "[Signing Next] [KeyPublished]", 2 * day},
			{day + time.Hour, ninety, "[Signing] [KeyDiscarded]", 89 * day},
		}},
		{"another algorithm while a next key is published", []step{
			{89 * day, ninety, "[Signing Next] [KeyPublished]", 90 * day},
			{89*day + time.Hour, es384, "[Signing Next] [KeyDiscarded KeyPublished]", 90*day + time.Hour},
			{90 * day, es384, "[Signing Next] []", 90*day + time.Hour},
		}},
		{"a long downtime before publication", []step{
			{900 * day, ninety, "[Signing Next] [KeyPublished]", 901 * day},
			{901 * day, ninety, "[Signing Retired] [KeyPromoted]", 902*day + time.Hour},
		}},
		{"a long downtime while a next key is published", []step{
			{89 * day, ninety, "[Signing Next] [KeyPublished]", 90 * day},
			{900 * day, ninety, "[Signing Retired] [KeyPromoted]", 901*day + time.Hour},
		}},
		{"a long downtime while a retired key is published", []step{
			{89 * day, ninety, "[Signing Next] [KeyPublished]", 90 * day},
			{90 * day, ninety, "[Signing Retired] [KeyPromoted]", 91*day + time.Hour},
			{900 * day, ninety, "[Signing Next] [KeyPublished KeyWithdrawn]", 901 * day},
		}},
		{"an interval shorter than publication takes", []step{
			{0, short, "[Signing Next] [KeyPublished]", day},
			{day, short, "[Signing Next Retired] [KeyPromoted KeyPublished]", 2 * day},
		}},
		{"the default interval", []step{
			{89*day - 1, zero, "[Signing] []", 89 * day},
			{89 * day, zero, "[Signing Next] [KeyPublished]", 90 * day},
		}},
		{"a shorter interval", []step{
			{10 * day, identity.Policy{Algorithm: identity.ES256, Interval: 2 * day}, "[Signing Next] [KeyPublished]", 11 * day},
		}},
		{"a clock that steps back", []step{
			{-400 * day, ninety, "[Signing] []", -311 * day},
			{-311*day - 1, ninety, "[Signing] []", -311 * day},
			{-311 * day, ninety, "[Signing Next] [KeyPublished]", -310 * day},
		}},
		{"a clock that steps back while a next key is published", []step{
			{89 * day, ninety, "[Signing Next] [KeyPublished]", 90 * day},
			{-400 * day, ninety, "[Signing Next] []", -309 * day}, // the interval and a day
			{-309 * day, ninety, "[Signing Retired] [KeyPromoted]", -308*day + time.Hour},
		}},
		{"a clock that steps back a little", []step{
			{89 * day, ninety, "[Signing Next] [KeyPublished]", 90 * day},
			{89*day - time.Minute, ninety, "[Signing Next] []", 90 * day},
			{90*day - time.Second, ninety, "[Signing Next] []", 90 * day},
		}},
		{"fractions of a second round to the safe side", []step{
			{89*day + 1, ninety, "[Signing Next] [KeyPublished]", 90*day + time.Second},
			{90*day + time.Second - 1, ninety, "[Signing Next] []", 90*day + time.Second},
			{90*day + time.Second + 1, ninety, "[Signing Retired] [KeyPromoted]", 91*day + time.Hour + 2*time.Second},
		}},
	} {
		ring, _, _ := advance(t, identity.Ring{}, ninety, noon)
		for i, step := range c.steps {
			next, changes, at := advance(t, ring, step.policy, noon.Add(step.now))
			if got := shape(next, changes); got != step.want || !at.Equal(noon.Add(step.at)) {
				t.Fatalf("%s, step %d: %s, next at %s, want %s, next at %s", c.name, i, got, at.Sub(noon), step.want, step.at)
			}
			ring = next
		}
	}
}

// TestLongestLifetimeIsKept: a key retires for as long as its longest-lived JWT.
func TestLongestLifetimeIsKept(t *testing.T) {
	long, short := ninety, ninety
	long.Lifetime, short.Lifetime = 20*time.Hour, time.Minute
	ring, _, _ := advance(t, identity.Ring{}, short, noon)
	for _, step := range []struct {
		policy identity.Policy
		want   time.Duration
	}{{short, time.Minute}, {ninety, time.Hour}, {long, 20 * time.Hour}, {short, 20 * time.Hour}} {
		var changes []identity.Change
		ring, changes, _ = advance(t, ring, step.policy, noon.Add(time.Hour))
		if ring.Keys[0].Longest != step.want || len(changes) != 0 {
			t.Errorf("lifetime %s: longest %s, %v", step.policy.Lifetime, ring.Keys[0].Longest, changes)
		}
	}
	ring, _, _ = advance(t, ring, short, noon.Add(89*day))
	ring, _, _ = advance(t, ring, short, noon.Add(90*day))
	if retired := ring.Keys[1]; retired.Stage != identity.StageRetired || !retired.Until.Equal(noon.Add(90*day+20*time.Hour+day)) || retired.Private != nil {
		t.Errorf("%+v", retired)
	}
	if signing := ring.Keys[0]; signing.Longest != time.Minute || !signing.SignsFrom.IsZero() {
		t.Errorf("%+v", signing)
	}
}

func TestErrorsLeaveTheRing(t *testing.T) {
	broken := errors.New("no randomness")
	generate := func(identity.Algorithm) (*identity.Key, error) { return nil, broken }
	ring, _, _ := advance(t, identity.Ring{}, ninety, noon)
	for name, before := range map[string]identity.Ring{"none": {}, "one": ring} {
		after, changes, at, err := before.Advance(ninety, noon.Add(89*day), generate)
		if !errors.Is(err, broken) || !reflect.DeepEqual(after, before) || changes != nil || !at.IsZero() {
			t.Errorf("%s: %v %v %v", name, after, changes, err)
		}
		if after, err := before.Roll(ninety, noon, generate); !errors.Is(err, broken) || !reflect.DeepEqual(after, before) {
			t.Errorf("%s: %v %v", name, after, err)
		}
	}
}

func TestRollLeavesOneNewKey(t *testing.T) {
	ring, _, _ := advance(t, identity.Ring{}, ninety, noon)
	ring, _, _ = advance(t, ring, ninety, noon.Add(89*day))
	ring, _, _ = advance(t, ring, ninety, noon.Add(90*day))
	rolled, err := ring.Roll(ninety, noon.Add(90*day+time.Hour), identity.GenerateKey)
	if err != nil || shape(rolled, nil) != "[Signing] []" || slices.Contains(ring.Published(), rolled.Keys[0].Public) {
		t.Fatalf("%v: %v", rolled, err)
	}
	if key := rolled.Keys[0]; key.Private == nil || !key.Since.Equal(noon.Add(90*day+time.Hour)) || key.Longest != time.Hour {
		t.Errorf("%+v", key)
	}
}

func TestWithdrawDropsRetiredKeys(t *testing.T) {
	ring, _, _ := advance(t, identity.Ring{}, ninety, noon)
	ring, _, _ = advance(t, ring, ninety, noon.Add(89*day))
	ring, _, _ = advance(t, ring, ninety, noon.Add(90*day))
	ring, _, _ = advance(t, ring, identity.Policy{Algorithm: identity.ES384}, noon.Add(90*day))
	if got := shape(ring, nil) + shape(ring.Withdraw(), nil) + shape(ring, nil); got != "[Signing Next Retired] [][Signing Next] [][Signing Next Retired] []" {
		t.Errorf("%s", got)
	}
	if next, found := ring.Next(); !found || next.Public.Algorithm != identity.ES384 {
		t.Errorf("%+v", next)
	}
	if _, found := (identity.Ring{}).Signing(); found {
		t.Error("an empty ring signs")
	}
}

// TestAdvanceMakesUpForWhatWasLost: rings as DecodeRing makes them of damaged Secrets.
func TestAdvanceMakesUpForWhatWasLost(t *testing.T) {
	signing, next, retired := fresh(), fresh(), fresh()
	ring := identity.Ring{Keys: []identity.RingKey{
		{Public: signing.Public(), Private: signing, Stage: identity.StageSigning},
		{Public: next.Public(), Private: next, Stage: identity.StageNext},
		{Public: retired.Public(), Stage: identity.StageRetired},
		{Public: retired.Public(), Stage: identity.StageRetired},
		{Public: next.Public(), Stage: identity.StageRetired},
	}}
	advanced, changes, at := advance(t, ring, ninety, noon)
	if got := shape(advanced, changes); got != "[Signing Next Retired] []" || !at.Equal(noon.Add(day)) {
		t.Fatalf("%s at %s", got, at)
	}
	want := []identity.RingKey{
		{Public: signing.Public(), Private: signing, Stage: identity.StageSigning, Since: noon, Longest: time.Hour},
		{Public: next.Public(), Private: next, Stage: identity.StageNext, Since: noon, SignsFrom: noon.Add(day)},
		{Public: retired.Public(), Stage: identity.StageRetired, Until: noon.Add(day + time.Hour)},
	}
	for i, key := range advanced.Keys {
		if !sameKey(key, want[i]) {
			t.Errorf("%+v\nwant %+v", key, want[i])
		}
	}

	// It is not known for how long the next key has been published: that begins now, in full.
	if _, _, at = advance(t, ring, ninety, noon.Add(1)); !at.Equal(noon.Add(day + time.Second)) {
		t.Errorf("next at %s", at)
	}
	// Nobody can plan that a key signs before it has been published for long enough.
	ring.Keys[1].Since, ring.Keys[1].SignsFrom = noon, noon
	hasty, changes, at := advance(t, ring, ninety, noon.Add(day-1))
	if got := shape(hasty, changes); got != "[Signing Next Retired] []" || !at.Equal(noon.Add(day)) {
		t.Errorf("%s at %s", got, at)
	}

	// Halves that are lost are of no use.
	ring = identity.Ring{Keys: []identity.RingKey{
		{Public: signing.Public(), Stage: identity.StageSigning, Since: noon.Add(-day)}, {Public: next.Public(), Stage: identity.StageNext},
	}}
	advanced, changes, _ = advance(t, ring, ninety, noon)
	if got := shape(advanced, changes); got != "[Signing Retired] [KeyCreated KeyDiscarded]" {
		t.Errorf("%s", got)
	}
}

// sameKey compares all but which of two private keys with one ID it is.
func sameKey(a, b identity.RingKey) bool {
	if (a.Private == nil) != (b.Private == nil) || a.Private != nil && a.Private.Public() != b.Private.Public() {
		return false
	}
	a.Private, b.Private = nil, nil
	return reflect.DeepEqual(a, b)
}

func TestPolicyDefaults(t *testing.T) {
	var asked identity.Algorithm
	ring, _, at, err := identity.Ring{}.Advance(identity.Policy{}, noon, func(algorithm identity.Algorithm) (*identity.Key, error) {
		asked = algorithm
		return fresh(), nil
	})
	if err != nil || asked != identity.RS256 || ring.Keys[0].Longest != identity.DefaultTokenLifetime || at.IsZero() {
		t.Errorf("%s, %+v: %v", asked, ring.Keys, err)
	}
}
