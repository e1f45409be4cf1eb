package tokenfile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/gini-operator/gini-operator/pkg/emulator"
	"github.com/gini-operator/gini-operator/pkg/tokenfile"
)

func TestTokenIsNeverPrinted(t *testing.T) {
	source := opened(t, mounted(t, leaked))
	token := current(t, source)
	type holder struct {
		Token  tokenfile.Token
		hidden tokenfile.Token
		nested *tokenfile.Token
	}
	held := holder{token, token, &token}
	var printed []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, subject := range []any{token, &token, held, &held, []tokenfile.Token{token}, map[string]tokenfile.Token{"k": token}, source} {
			printed = append(printed, fmt.Sprintf(verb, subject))
		}
	}
	encoded, err := json.Marshal(map[string]any{"token": token, "held": held, "by": map[string]*tokenfile.Token{"k": &token}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := token.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(handler).Info("Renewed", "token", token, "pointer", &token, "held", held, "source", source)
	}
	printed = append(printed, string(encoded), string(text), logged.String())
	for _, text := range printed {
		if strings.Contains(text, leaked) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", leaked)) {
			t.Errorf("the token is shown: %s", text)
		}
	}
	want := "[redacted token " + emulator.Fingerprint(leaked) + ", expires 2026-03-01T12:00:00Z]"
	for _, verb := range []string{"%v", "%#v", "%x", "%d"} {
		if got := fmt.Sprintf(verb, token); got != want || token.String() != want {
			t.Errorf("%s instead of %s", got, want)
		}
	}
	if got := fmt.Sprint(tokenfile.Token{}); got != "[no token]" {
		t.Errorf("the zero Token is %s", got)
	}
}
