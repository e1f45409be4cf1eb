package delivery

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Credential is what the annotations of a Secret say of the credential in it.
type Credential struct {
	// Secret is its name, in the namespace of whoever reads it.
	Secret string
	// Fingerprint changes with the credential.
	Fingerprint string
	// ObtainedAt is the instant before it was asked for, and Lifetime how long it lives from then on; zero where it does not expire.
	ObtainedAt time.Time
	Lifetime   time.Duration
}

// requestLimit is what lies at most between the instant before a credential is asked for and the write of its Secret.
const requestLimit = time.Minute

// changedSince reports whether a credential may have come after an instant.
func (c Credential) changedSince(instant time.Time) bool {
	return c.ObtainedAt.IsZero() || !c.ObtainedAt.Before(instant.Add(-requestLimit))
}

// mark is what an annotation says of what was seen to: when, and for which credentials.
type mark struct {
	at  time.Time
	sum string
}

// String is its text: "2026-11-28T03:20:00Z/1a2b3c4d".
func (m mark) String() string { return m.at.UTC().Format(time.RFC3339) + "/" + m.sum }

// parseMark reads a mark; the zero one where a text is none.
func parseMark(text string) mark {
	instant, sum, found := strings.Cut(text, "/")
	at, err := time.Parse(time.RFC3339, instant)
	if !found || err != nil {
		return mark{}
	}
	return mark{at: at, sum: sum}
}

// since is when what a mark speaks of was seen to: not before created, where there is none, nor later than now, as a mark from before the
// clock was set back would keep everybody waiting.
func (m mark) since(created, now time.Time) time.Time {
	if m.sum == "" || m.at.After(now) {
		return created
	}
	return m.at
}

// sumOf identifies credentials, in any order.
func sumOf(credentials []Credential) string {
	lines := make([]string, 0, len(credentials))
	for _, c := range credentials {
		lines = append(lines, fmt.Sprintf("%s=%s\n", c.Secret, c.Fingerprint))
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return hex.EncodeToString(sum[:4])
}
