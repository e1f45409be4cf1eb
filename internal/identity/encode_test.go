package identity_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/identity"
)

// full is a ring with a key in each stage.
func full() identity.Ring {
	signing, next, retired := fresh(), must(identity.GenerateKey(identity.ES384)), keyFor(identity.PS256)
	return identity.Ring{Keys: []identity.RingKey{
		{Public: signing.Public(), Private: signing, Stage: identity.StageSigning, Since: noon, Longest: time.Hour},
		{Public: next.Public(), Private: next, Stage: identity.StageNext, Since: noon.Add(time.Hour), SignsFrom: noon.Add(day + time.Hour)},
		{
			Public: retired.Public(), Stage: identity.StageRetired, Since: noon.Add(-time.Hour), Until: noon.Add(day),
			Longest: 90 * time.Second,
		},
	}}
}

func TestRingsAreReadAsWritten(t *testing.T) {
	psNext := full()
	key := keyFor(identity.PS256)
	psNext.Keys[1].Public, psNext.Keys[1].Private = key.Public(), key
	psNext.Keys = psNext.Keys[:2]
	for name, ring := range map[string]identity.Ring{"full": full(), "one": {Keys: full().Keys[:1]}, "PS256": psNext} {
		data := must(ring.Encode())
		again, err := identity.DecodeRing(data, "")
		if err != nil || len(again.Keys) != len(ring.Keys) {
			t.Fatalf("%s: %+v: %v", name, again.Keys, err)
		}
		for i := range ring.Keys {
			if !sameKey(again.Keys[i], ring.Keys[i]) {
				t.Errorf("%s: %+v\nwant %+v", name, again.Keys[i], ring.Keys[i])
			}
		}
		sameData(t, data, must(again.Encode()))
		noPrivateMember(t, data[identity.DataRecords])
		if strings.Contains(string(data[identity.DataRecords]), "PRIVATE") {
			t.Errorf("%s: keys.json holds a private key", name)
		}
	}
	zoned := full()
	zoned.Keys[0].Since = zoned.Keys[0].Since.In(time.FixedZone("", 3600))
	if text := string(must(zoned.Encode())[identity.DataRecords]); !strings.Contains(text, `"since": "2026-03-01T12:00:00Z"`) {
		t.Errorf("not in UTC: %s", text)
	}
}

func TestARingIsWrittenPlainly(t *testing.T) {
	ring := full()
	data := must(ring.Encode())
	if len(data) != 3 || !bytes.Equal(data[identity.DataSigningKey], ring.Keys[0].Private.PEM()) {
		t.Errorf("%d keys", len(data))
	}
	var members map[string]any
	if err := json.Unmarshal([]byte(ring.Keys[2].Public.JSON()), &members); err != nil {
		t.Fatal(err)
	}
	text := string(data[identity.DataRecords])
	want := fmt.Sprintf(`      "stage": "Retired",
      "since": "2026-03-01T11:00:00Z",
      "until": "2026-03-02T12:00:00Z",
      "longestLifetime": "1m30s",
      "publicKey": {
        "use": "sig",
        "kty": "RSA",
        "kid": "%s",
        "alg": "PS256",
        "n": "%s",
        "e": "AQAB"
      }
    }
  ]
}
`, ring.Keys[2].Public.ID, members["n"])
	if !strings.HasSuffix(text, want) {
		t.Errorf("%s\nwant at its end %s", text, want)
	}
	ring.Keys = ring.Keys[:1]
	if _, found := must(ring.Encode())[identity.DataNextKey]; found {
		t.Error("there is a next key where there is none")
	}
	for _, without := range []identity.Ring{{}, withoutPrivates(ring)} {
		if _, err := without.Encode(); !errors.Is(err, identity.ErrNoSigningKey) {
			t.Errorf("a ring that cannot sign is written: %v", err)
		}
	}
}

func TestDamagedRings(t *testing.T) {
	ring := full()
	other := fresh()
	for _, c := range []struct {
		name  string
		spoil func(data map[string][]byte)
		want  string // stages, with the fate of since
	}{
		{"whole", func(map[string][]byte) {}, "Signing+ Next+ Retired+"},
		{"no keys.json", func(data map[string][]byte) { delete(data, identity.DataRecords) }, "Signing- Next-"},
		{"keys.json is damaged", func(data map[string][]byte) { data[identity.DataRecords] = data[identity.DataRecords][1:] }, "Signing- Next-"},
		{"keys.json is empty", func(data map[string][]byte) { data[identity.DataRecords] = []byte(`{}`) }, "Signing- Next-"},
		{"keys.json is too large", func(data map[string][]byte) {
			data[identity.DataRecords] = append(data[identity.DataRecords], strings.Repeat(" ", 64<<10)...)
		}, "Signing- Next-"},
		{"an instant is damaged", edited(`"2026-03-01T12:00:00Z"`, `"yesterday"`), "Signing- Next+ Retired+"},
		{"an instant is beyond words", edited(`"2026-03-01T12:00:00Z"`, `"9999-12-31T23:59:59-23:00"`), "Signing- Next+ Retired+"},
		{"a retired key is damaged", edited(`"RSA"`, `"RSB"`), "Signing+ Next+"},
		{"a lifetime is damaged", edited(`"1h0m0s"`, `"-1h"`), "Signing+ Next+ Retired+"},
		{"a lifetime is huge", edited(`"1h0m0s"`, `"2562047h"`), "Signing+ Next+ Retired+"},
		{"another signing key", func(data map[string][]byte) { data[identity.DataSigningKey] = other.PEM() }, "Signing- Next+ Retired+"},
		{"no next key", func(data map[string][]byte) { delete(data, identity.DataNextKey) }, "Signing+ Retired+"},
		{"the next key is damaged", func(data map[string][]byte) { data[identity.DataNextKey] = []byte("s3cr3t") }, "Signing+ Retired+"},
		{"the next key is the signing key", func(data map[string][]byte) { data[identity.DataNextKey] = data[identity.DataSigningKey] }, "Signing+ Retired+"},
		{"the next key was made the signing key", func(data map[string][]byte) {
			data[identity.DataSigningKey] = data[identity.DataNextKey]
			delete(data, identity.DataNextKey)
		}, "Signing- Retired+"},
		{"the retired key was made the signing key", func(data map[string][]byte) {
			data[identity.DataSigningKey] = pkcs8(rsaKey())
		}, "Signing- Next+"},
	} {
		data := must(ring.Encode())
		c.spoil(data)
		read, err := identity.DecodeRing(data, "")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := ""
		for _, key := range read.Keys {
			got += string(key.Stage) + map[bool]string{true: "- ", false: "+ "}[key.Since.IsZero()]
		}
		if trimmed(got) != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if signing := read.Keys[0]; signing.Private == nil || signing.Private.Public() != signing.Public || signing.Longest < 0 || signing.Longest > 366*day {
			t.Errorf("%s: %+v", c.name, signing)
		}
		advanced, _, at := advance(t, read, ninety, noon.Add(time.Hour))
		if !at.After(noon) || advanced.Keys[0].Public != read.Keys[0].Public {
			t.Errorf("%s: it does not go on", c.name)
		}
	}
}

func edited(before, after string) func(map[string][]byte) {
	return func(data map[string][]byte) {
		text := string(data[identity.DataRecords])
		if !strings.Contains(text, before) {
			panic("there is no " + before)
		}
		data[identity.DataRecords] = []byte(strings.Replace(text, before, after, 1))
	}
}

// TestAlgorithmsOfRings: keys.json says what a key is for where it fits, and else its kind does.
func TestAlgorithmsOfRings(t *testing.T) {
	for encoded, want := range map[string]identity.Algorithm{
		string(pkcs8(rsaKey())): identity.RS256, string(pkcs8(p256())): identity.ES256, string(pkcs8(p384())): identity.ES384,
		string(block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(p384())))): identity.ES384,
	} {
		ring, err := identity.DecodeRing(map[string][]byte{identity.DataSigningKey: []byte(encoded)}, "")
		if err != nil || ring.Keys[0].Public.Algorithm != want {
			t.Errorf("%+v: %v, want %s", ring.Keys, err, want)
		}
	}
	key := keyFor(identity.RS512)
	ring := identity.Ring{Keys: []identity.RingKey{{Public: key.Public(), Private: key, Stage: identity.StageSigning, Since: noon}}}
	again := must(identity.DecodeRing(must(ring.Encode()), ""))
	if again.Keys[0].Public.Algorithm != identity.RS512 || again.Keys[0].Private.Algorithm() != identity.RS512 {
		t.Errorf("%+v", again.Keys)
	}
}

// TestNextKeySignsInstead: it is published, unlike any other key that could take the place of one that is lost.
func TestNextKeySignsInstead(t *testing.T) {
	before := full()
	next, _ := before.Next()
	data := must(before.Encode())
	for _, damaged := range []func(){
		func() { data[identity.DataSigningKey] = []byte("s3cr3t") },
		func() { delete(data, identity.DataSigningKey) },
	} {
		damaged()
		ring, err := identity.DecodeRing(data, "")
		signing, _ := ring.Signing()
		if _, still := ring.Next(); err != nil || signing.Public != next.Public || signing.Private == nil || still {
			t.Errorf("%+v: %v", ring, err)
		}
	}
}

// TestWantedAlgorithm: a key that nothing is told of signs by the algorithm that is wanted, where it fits that.
func TestWantedAlgorithm(t *testing.T) {
	for _, c := range []struct{ made, wanted, want identity.Algorithm }{
		{identity.PS256, identity.PS256, identity.PS256},
		{identity.PS256, "", identity.RS256},
		{identity.PS256, identity.ES256, identity.RS256},
		{identity.ES384, identity.ES256, identity.ES384},
	} {
		data := map[string][]byte{identity.DataSigningKey: keyFor(c.made).PEM()}
		if signing, _ := must(identity.DecodeRing(data, c.wanted)).Signing(); signing.Public.Algorithm != c.want {
			t.Errorf("%s, wanted %s: %s", c.made, c.wanted, signing.Public.Algorithm)
		}
	}
}

// TestRemember: what has signed is remembered as retired, what was only announced is not, and what is there stays as it is.
func TestRemember(t *testing.T) {
	known := full()
	signing, _ := known.Signing()
	next, _ := known.Next()
	other := must(identity.Ring{}.Roll(identity.Policy{Algorithm: identity.ES256}, noon, identity.GenerateKey))
	remembered := other.Remember(known)
	if found, ok := remembered.Find(signing.Public.ID); !ok || found.Stage != identity.StageRetired || found.Private != nil {
		t.Errorf("the former signing key is %+v", found)
	}
	if _, ok := remembered.Find(next.Public.ID); ok {
		t.Error("a key that never signed is published")
	}
	if remembered.Holds(known) != true || other.Holds(known) || !known.Holds(known) || known.Holds(identity.Ring{}) {
		t.Error("Holds")
	}
	advanced, _, _, err := remembered.Advance(identity.Policy{Algorithm: identity.ES256}, noon, identity.GenerateKey)
	if err != nil {
		t.Fatal(err)
	}
	if found, _ := advanced.Find(signing.Public.ID); !found.Until.After(noon.Add(identity.CacheTime)) {
		t.Errorf("it is published until %s", found.Until)
	}
	if again := known.Remember(known); len(again.Keys) != len(known.Keys) {
		t.Errorf("%d keys of %d", len(again.Keys), len(known.Keys))
	}
}

func TestNoSigningKey(t *testing.T) {
	data := must(full().Encode())
	delete(data, identity.DataSigningKey)
	delete(data, identity.DataNextKey)
	if ring, err := identity.DecodeRing(data, ""); !errors.Is(err, identity.ErrNoSigningKey) || len(ring.Keys) != 0 {
		t.Errorf("%+v: %v", ring, err)
	}
	for encoded, want := range map[string]identity.Problem{
		"": identity.KeyNotPEM, "s3cr3t": identity.KeyNotPEM, strings.Repeat("x", 16<<10+1): identity.KeyTooLarge,
	} {
		data[identity.DataSigningKey] = []byte(encoded)
		_, err := identity.DecodeRing(data, "")
		var problem *identity.KeyError
		if !errors.As(err, &problem) || problem.Problem != want {
			t.Errorf("%.10q: %v, want %s", encoded, err, want)
		}
	}
}

// TestManyRetiredKeys: a keys.json of any length makes no ring of any length.
func TestManyRetiredKeys(t *testing.T) {
	ring := full()
	for range 20 {
		ring.Keys = append(ring.Keys, identity.RingKey{Public: fresh().Public(), Stage: identity.StageRetired, Since: noon, Until: noon.Add(day)})
	}
	read := must(identity.DecodeRing(must(ring.Encode()), ""))
	if len(read.Keys) != 8 {
		t.Errorf("%d keys", len(read.Keys))
	}
	if advanced, changes, _ := advance(t, ring, identity.Policy{Algorithm: identity.ES384, Lifetime: time.Hour}, noon); len(advanced.Keys) != 8 || len(changes) != 15 {
		t.Errorf("%d keys, %d changes", len(advanced.Keys), len(changes))
	}
}
