package identity

import (
	"slices"
	"time"
)

// Stage is what a key of a ring is there for.
type Stage string

// Stages.
const (
	// StageNext: the key is published, and does not sign yet.
	StageNext Stage = "Next"
	// StageSigning: the key signs.
	StageSigning Stage = "Signing"
	// StageRetired: the key signs no more, and is published for the sake of the JWTs that it has signed.
	StageRetired Stage = "Retired"
)

const (
	// PublishAhead is how long a key is published before it signs.
	PublishAhead = 24 * time.Hour
	// CacheTime is how long whoever checks JWTs may keep the JWK Set. A retired key stays in it until its last JWT expired
	// and this has passed.
	CacheTime = 24 * time.Hour
	// DefaultRotationInterval is how long a key signs where nobody says otherwise.
	DefaultRotationInterval = 2160 * time.Hour

	// maxRetired bounds the ring where people bring new keys all the time, or a clock is stepped back and forth.
	maxRetired = 6
)

// RingKey is one key of a ring.
type RingKey struct {
	Public PublicKey
	// Private is nil for retired keys, and in rings of keys that people bring along until Follow is given them.
	Private *Key
	Stage   Stage
	// Since is when the key came to this stage. Zero where that was lost.
	Since time.Time
	// SignsFrom is when a next key is to take over. Zero where people decide that.
	SignsFrom time.Time
	// Until is when a retired key leaves the ring. A next key has it where it signed before: then it is retired again
	// rather than discarded.
	Until time.Time
	// Longest is the longest lifetime that the key's JWTs have had.
	Longest time.Duration
}

// Ring is the keys of one issuer: the one that signs, then the next one, then the retired ones, newest first.
type Ring struct{ Keys []RingKey }

// Signing is the key that signs; false where there is none.
func (r Ring) Signing() (RingKey, bool) { return r.first(StageSigning) }

// Next is the key that will sign; false where there is none.
func (r Ring) Next() (RingKey, bool) { return r.first(StageNext) }

func (r Ring) first(stage Stage) (RingKey, bool) {
	at := slices.IndexFunc(r.Keys, func(key RingKey) bool { return key.Stage == stage })
	if at < 0 {
		return RingKey{}, false
	}
	return r.Keys[at], true
}

// Find is the key of an id; false where the ring has none.
func (r Ring) Find(id string) (RingKey, bool) {
	at := slices.IndexFunc(r.Keys, func(key RingKey) bool { return key.Public.ID == id })
	if at < 0 {
		return RingKey{}, false
	}
	return r.Keys[at], true
}

// Holds reports whether the key that signs in another ring stands in this one.
func (r Ring) Holds(other Ring) bool {
	signing, ok := other.Signing()
	if !ok {
		return false
	}
	_, known := r.Find(signing.Public.ID)
	return known
}

// Remember adds the keys of another ring that have signed and that this one lacks, as retired ones: their JWTs may be about.
func (r Ring) Remember(other Ring) Ring {
	keys := slices.Clone(r.Keys)
	for _, key := range other.Keys {
		if _, known := r.Find(key.Public.ID); known || key.Stage == StageNext {
			continue
		}
		if key.Stage == StageSigning {
			key.Since, key.Until = time.Time{}, time.Time{} // made up for when the ring is advanced
		}
		key.Private, key.Stage, key.SignsFrom = nil, StageRetired, time.Time{}
		keys = append(keys, key)
	}
	return Ring{Keys: keys}
}

// Published are the public halves of all keys, in the ring's order.
func (r Ring) Published() []PublicKey {
	published := make([]PublicKey, 0, len(r.Keys))
	for _, key := range r.Keys {
		published = append(published, key.Public)
	}
	return published
}

// Withdraw is the ring without its retired keys.
func (r Ring) Withdraw() Ring {
	kept := make([]RingKey, 0, len(r.Keys))
	for _, key := range r.Keys {
		if key.Stage != StageRetired {
			kept = append(kept, key)
		}
	}
	return Ring{Keys: kept}
}

// ChangeKind is what happened to a key.
type ChangeKind string

// What happens to keys.
const (
	// KeyCreated: it signs, as the first one.
	KeyCreated ChangeKind = "KeyCreated"
	// KeyPublished: it will sign later.
	KeyPublished ChangeKind = "KeyPublished"
	// KeyPromoted: it was the next one and signs from now on. The former one retired.
	KeyPromoted ChangeKind = "KeyPromoted"
	// KeyReplaced: it signs from now on and was not published as the next one. The former one retired.
	KeyReplaced ChangeKind = "KeyReplaced"
	// KeyDiscarded: it was the next one, and goes without ever having signed.
	KeyDiscarded ChangeKind = "KeyDiscarded"
	// KeyWithdrawn: it was a retired one, and is published no more.
	KeyWithdrawn ChangeKind = "KeyWithdrawn"
)

// Change is what happened to one key of a ring.
type Change struct {
	Kind  ChangeKind
	KeyID string
}

// Policy is how a ring is to be kept.
type Policy struct {
	// Algorithm of new keys. Empty: RS256.
	Algorithm Algorithm
	// Interval is how long a key signs. 0: DefaultRotationInterval.
	Interval time.Duration
	// Lifetime of the JWTs that are signed from now on. 0: DefaultTokenLifetime.
	Lifetime time.Duration
}

func (p Policy) orDefaults() Policy {
	if p.Algorithm == "" {
		p.Algorithm = RS256
	}
	if p.Interval <= 0 {
		p.Interval = DefaultRotationInterval
	}
	if p.Lifetime <= 0 {
		p.Lifetime = DefaultTokenLifetime
	}
	return p
}
