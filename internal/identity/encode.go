package identity

import (
	"crypto"
	"encoding/json"
	"errors"
	"time"
)

// The keys in the data of the Secret that holds a ring.
const (
	DataSigningKey = "signing-key.pem"
	DataNextKey    = "next-key.pem"
	DataRecords    = "keys.json"
)

const (
	maxRecordsSize = 64 << 10
	maxRecords     = 64
	// maxLongest bounds what is believed of lifetimes: far more than any has.
	maxLongest = 365 * 24 * time.Hour
)

// ErrNoSigningKey says that the data of a Secret holds no signing key.
var ErrNoSigningKey = errors.New("there is no signing key")

// records is what keys.json holds: all that is known of the keys but for what is private.
type records struct {
	Keys []json.RawMessage `json:"keys"`
}

type record struct {
	Stage           Stage           `json:"stage"`
	Since           time.Time       `json:"since,omitzero"`
	SignsFrom       time.Time       `json:"signsFrom,omitzero"`
	Until           time.Time       `json:"until,omitzero"`
	LongestLifetime string          `json:"longestLifetime,omitempty"`
	PublicKey       json.RawMessage `json:"publicKey"`
}

// Encode makes the data of the Secret that holds the ring: always the same for the same ring.
func (r Ring) Encode() (map[string][]byte, error) {
	signing, found := r.Signing()
	if !found || signing.Private == nil {
		return nil, ErrNoSigningKey
	}
	data := map[string][]byte{DataSigningKey: signing.Private.PEM()}
	if next, found := r.Next(); found && next.Private != nil {
		data[DataNextKey] = next.Private.PEM()
	}
	var all records
	for _, key := range r.Keys {
		written := record{
			Stage: key.Stage, Since: key.Since.UTC(), SignsFrom: key.SignsFrom.UTC(), Until: key.Until.UTC(),
			PublicKey: json.RawMessage(key.Public.JSON()),
		}
		if key.Longest > 0 {
			written.LongestLifetime = key.Longest.String()
		}
		text, err := json.Marshal(written)
		if err != nil {
			return nil, err
		}
		all.Keys = append(all.Keys, text)
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, err
	}
	data[DataRecords] = append(text, '\n')
	return data, nil
}

// DecodeRing reads the data of a Secret that holds a ring, which people may have edited: the private keys say which key signs
// and which is the next one, and keys.json tells the rest where it fits and can be read. Where it does not, instants
// are zero, and Advance makes up for that. A key that nothing is told of signs by the wanted algorithm, where it fits that. Where only the
// next key is left, it signs: it has been published. Errors are ErrNoSigningKey or a *KeyError.
func DecodeRing(data map[string][]byte, wanted Algorithm) (Ring, error) {
	known := decodeRecords(data[DataRecords])
	signing, err := decodeSigning(data, known, wanted)
	if err != nil {
		return Ring{}, err
	}
	ring := Ring{Keys: []RingKey{signing}}
	listed := map[string]bool{signing.Public.ID: true}
	if encoded, found := data[DataNextKey]; found {
		if next, err := decodePrivate(encoded, StageNext, known, wanted); err == nil && !listed[next.Public.ID] {
			ring.Keys = append(ring.Keys, next)
			listed[next.Public.ID] = true
		}
	}
	for _, key := range known {
		if key.Stage == StageRetired && !listed[key.Public.ID] && len(listed) < 2+maxRetired {
			ring.Keys = append(ring.Keys, key)
			listed[key.Public.ID] = true
		}
	}
	return ring, nil
}

// decodeSigning reads the key that signs, or the next one in its place.
func decodeSigning(data map[string][]byte, known []RingKey, wanted Algorithm) (RingKey, error) {
	failed := ErrNoSigningKey
	for _, name := range []string{DataSigningKey, DataNextKey} {
		encoded, found := data[name]
		if !found {
			continue
		}
		key, err := decodePrivate(encoded, StageSigning, known, wanted)
		if err == nil {
			return key, nil
		}
		if errors.Is(failed, ErrNoSigningKey) {
			failed = err
		}
	}
	return RingKey{}, failed
}

// decodePrivate reads a private key, and adds what is known of it. Where it is known for another stage, since when it is in
// this one is not.
func decodePrivate(encoded []byte, stage Stage, known []RingKey, wanted Algorithm) (RingKey, error) {
	signer, problem := parsePrivate(encoded)
	if problem != "" {
		return RingKey{}, &KeyError{Problem: problem}
	}
	if !wanted.Known() || !wanted.fits(signer.Public()) {
		wanted = usual(signer.Public())
	}
	key, err := newKey(signer, wanted)
	if err != nil {
		return RingKey{}, err
	}
	for _, told := range known {
		if told.Public.ID != key.ID() {
			continue
		}
		if key, err = withAlgorithm(key, signer, told.Public.Algorithm); err != nil {
			return RingKey{}, err
		}
		if told.Stage != stage {
			return RingKey{Public: key.Public(), Private: key, Stage: stage, Longest: told.Longest}, nil
		}
		told.Private = key
		return told, nil
	}
	return RingKey{Public: key.Public(), Private: key, Stage: stage}, nil
}

func withAlgorithm(key *Key, signer crypto.Signer, algorithm Algorithm) (*Key, error) {
	if key.Algorithm() == algorithm {
		return key, nil
	}
	return newKey(signer, algorithm)
}

// decodeRecords reads the records that can be read.
func decodeRecords(text []byte) []RingKey {
	var all records
	if len(text) > maxRecordsSize || json.Unmarshal(text, &all) != nil {
		return nil
	}
	if len(all.Keys) > maxRecords {
		all.Keys = all.Keys[:maxRecords]
	}
	known := make([]RingKey, 0, len(all.Keys))
	for _, text := range all.Keys {
		var read record
		if json.Unmarshal(text, &read) != nil {
			continue
		}
		public, err := ParsePublicKey(string(read.PublicKey))
		if err != nil {
			continue
		}
		longest, err := time.ParseDuration(read.LongestLifetime)
		if err != nil || longest < 0 {
			longest = 0
		}
		known = append(known, RingKey{
			Public: public, Stage: read.Stage, Longest: min(longest, maxLongest),
			Since: storable(read.Since), SignsFrom: storable(read.SignsFrom), Until: storable(read.Until),
		})
	}
	return known
}

// storable is the instant in UTC; zero where RFC 3339 has no words for that.
func storable(instant time.Time) time.Time {
	instant = instant.UTC()
	if instant.Year() < 1 || instant.Year() > 9999 {
		return time.Time{}
	}
	return instant
}
