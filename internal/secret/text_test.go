package secret_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gini-operator/gini-operator/internal/secret"
)

func TestTextIsNeverPrinted(t *testing.T) {
	const value = "s3cr3t-value"
	type holder struct {
		Public string
		Text   secret.Text
		text   secret.Text
		nested *struct{ text secret.Text }
	}
	text := secret.New(value)
	held := holder{Public: "p", Text: text, text: text, nested: &struct{ text secret.Text }{text}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, subject := range []any{text, &text, held, &held, []secret.Text{text}, map[string]secret.Text{"k": text}, *held.nested} {
			printed := fmt.Sprintf(verb, subject)
			if strings.Contains(printed, value) || strings.Contains(printed, fmt.Sprintf("%x", value)) {
				t.Errorf("%s of %T prints the credential: %s", verb, subject, printed)
			}
		}
	}
	encoded, err := json.Marshal(map[string]any{"a": held, "b": map[string]secret.Text{"k": text}})
	if err != nil || strings.Contains(string(encoded), value) {
		t.Errorf("json.Marshal: %s, %v", encoded, err)
	}
	if got := text.Reveal(); got != value {
		t.Errorf("Reveal() = %q", got)
	}
}

func TestTextComparesAndFingerprints(t *testing.T) {
	if !secret.New("a").Equal(secret.New("a")) || secret.New("a").Equal(secret.New("b")) || secret.New("a").Equal(secret.Text{}) {
		t.Error("Equal does not compare the credentials")
	}
	if !secret.New("").Empty() || secret.New("a").Empty() || (secret.Text{}).Reveal() != "" {
		t.Error("the empty Text is not empty")
	}
	if got := secret.New("abc").Fingerprint(); got != "ba7816bf" {
		t.Errorf("Fingerprint() = %s, want the first 8 hex digits of SHA-256", got)
	}
}
