package identity

import (
	"slices"
	"time"
)

// turn is a ring taken apart, at one instant, to be changed and put together again.
type turn struct {
	policy  Policy
	now     time.Time
	signing *RingKey
	next    *RingKey
	retired []RingKey // newest first
	changes []Change
}

// takeApart leaves the ring as it is. A key that stands in it twice counts by its foremost stage. Retired keys stay in their
// order, which tells the newest even where the clock was stepped back.
func (r Ring) takeApart(policy Policy, now time.Time) *turn {
	t := &turn{policy: policy.orDefaults(), now: wall(now)}
	seen := map[string]bool{}
	if key, found := r.Signing(); found {
		t.signing = &key
		seen[key.Public.ID] = true
	}
	if key, found := r.Next(); found && !seen[key.Public.ID] {
		t.next = &key
		seen[key.Public.ID] = true
	}
	for _, key := range r.Keys {
		if key.Stage == StageRetired && !seen[key.Public.ID] {
			seen[key.Public.ID] = true
			t.retired = append(t.retired, t.settleRetired(key))
		}
	}
	return t
}

// settleRetired makes up for what was lost of a retired key.
func (t *turn) settleRetired(key RingKey) RingKey {
	if key.Until.IsZero() {
		key.Until = t.lastUse(key)
	}
	return key
}

func (t *turn) ring() Ring {
	keys := make([]RingKey, 0, 2+len(t.retired))
	for _, key := range []*RingKey{t.signing, t.next} {
		if key != nil {
			keys = append(keys, *key)
		}
	}
	return Ring{Keys: append(keys, t.retired...)}
}

func (t *turn) note(kind ChangeKind, key RingKey) {
	t.changes = append(t.changes, Change{Kind: kind, KeyID: key.Public.ID})
}

// second is now as it is stored: cut to seconds.
func (t *turn) second() time.Time { return t.now.Truncate(time.Second) }

// lastUse is when the last JWT of a key that signs no more after now has expired, and every copy of the JWK Set that lacks
// the key is of no harm.
func (t *turn) lastUse(key RingKey) time.Time {
	return fullSecond(t.now.Add(max(key.Longest, t.policy.Lifetime) + CacheTime))
}

// sign lets key sign from now on, and the former one retire.
func (t *turn) sign(key RingKey) {
	if t.signing != nil {
		t.retire(*t.signing)
	}
	key.Stage, key.Since = StageSigning, t.second()
	key.SignsFrom, key.Until = time.Time{}, time.Time{}
	t.signing = &key
	t.settleSigning()
}

// settleSigning keeps account of the lifetimes of the signing key's JWTs. Where it is not known since when the key signs, or
// the clock says that it is not so yet, it signs since now: a clock that was ahead once must not put off rotation for years.
func (t *turn) settleSigning() {
	t.signing.Longest = max(t.signing.Longest, t.policy.Lifetime)
	if t.signing.Since.IsZero() || t.signing.Since.After(t.now) {
		t.signing.Since = t.second()
	}
}

// retire keeps the key published for as long as somebody may hold a JWT of it.
func (t *turn) retire(key RingKey) {
	key.Until = t.lastUse(key)
	key.Private, key.Stage, key.Since, key.SignsFrom = nil, StageRetired, t.second(), time.Time{}
	t.retired = slices.Insert(t.retired, 0, key)
}

// dropNext takes the next key back. Where it signed before, somebody may still hold a JWT of it.
func (t *turn) dropNext() {
	key := *t.next
	t.next = nil
	if key.Until.After(t.now) {
		key.Private, key.Stage, key.Since, key.SignsFrom = nil, StageRetired, t.second(), time.Time{}
		t.retired = slices.Insert(t.retired, 0, key)
		return
	}
	t.note(KeyDiscarded, key)
}

// withdraw drops the retired keys whose time has come, and the oldest where there are too many.
func (t *turn) withdraw() {
	kept := make([]RingKey, 0, len(t.retired))
	for _, key := range t.retired {
		if !key.Until.After(t.now) || len(kept) == maxRetired {
			t.note(KeyWithdrawn, key)
			continue
		}
		kept = append(kept, key)
	}
	t.retired = kept
}

// firstWithdrawal is when the first retired key leaves; zero where there is none.
func (t *turn) firstWithdrawal() time.Time {
	var first time.Time
	for _, key := range t.retired {
		first = earlier(first, key.Until)
	}
	return first
}

// earlier of two instants, of which the zero one means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// fullSecond rounds up: what is stored to the second must not come before its time.
func fullSecond(instant time.Time) time.Time {
	if cut := instant.Truncate(time.Second); !cut.Equal(instant) {
		return cut.Add(time.Second)
	}
	return instant
}
