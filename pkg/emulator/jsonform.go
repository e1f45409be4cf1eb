package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// durationText is a duration that JSON writes as "1h30m"; "none" is NoExpiry.
type durationText time.Duration

func (d durationText) MarshalText() ([]byte, error) {
	if time.Duration(d) == NoExpiry {
		return []byte("none"), nil
	}
	return []byte(time.Duration(d).String()), nil
}

func (d *durationText) UnmarshalText(text []byte) error {
	if string(text) == "none" {
		*d = durationText(NoExpiry)
		return nil
	}
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 90s or 12h", text)
	}
	*d = durationText(parsed)
	return nil
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

// unmarshalStrict refuses unknown names: a misspelt switch would otherwise make a test that proves nothing.
func unmarshalStrict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("something follows the JSON value")
	}
	return nil
}
