package target

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/gini-operator/gini-operator/internal/credential"
	"github.com/gini-operator/gini-operator/internal/secret"
)

func valuesOf(pairs map[string]string) credential.Values {
	values := credential.Values{}
	for name, value := range pairs {
		values[name] = secret.New(value)
	}
	return values
}

// untrusted are the values of an untrusted device. A token may look like a template, and is none.
var untrusted = map[string]string{
	"access_token": "t0k+/$(expires_at)=", "token_type": "Bearer", "expires_at": "2026-03-01T12:00:00Z", "authorization": "Bearer t0k",
}

var trusted = map[string]string{
	"client_id": "acme", "client_secret": "$$(client_id)", "user_identifier": "alice", "authorization_basic": "Basic YTpi",
}

var byJWT = map[string]string{"jwt": "e30.e30.$(jwt)", "jwt_expires_at": "2026-03-01T12:00:00Z", "x_jwt_authorization": "Bearer e30"}

// kinds are the values of all kinds of device, by what tells the API server's rules apart.
var kinds = map[string]map[string]string{"untrusted": untrusted, "Basic": trusted, "JWT": byJWT}

func TestExpand(t *testing.T) {
	for _, c := range []struct {
		template, want string
		unknown        string // the name that stands for nothing; "-" for the empty one
	}{
		{"", "", ""},
		{"plain text", "plain text", ""},
		{"$(token_type)", "Bearer", ""},
		{"<$(token_type)>", "<Bearer>", ""},
		{"$(token_type)$(token_type)", "BearerBearer", ""},
		{"$(token_type) until $(expires_at)\n", "Bearer until 2026-03-01T12:00:00Z\n", ""},
		{"$(access_token)", "t0k+/$(expires_at)=", ""}, // values are not expanded again
		// Escapes, as Kubernetes has them.
		{"$$(token_type)", "$(token_type)", ""},
		{"$$$(token_type)", "$Bearer", ""},
		{"$$$$(token_type)", "$$(token_type)", ""},
		{"$$$$$(token_type)", "$$Bearer", ""},
		{"$$(nothing)", "$(nothing)", ""},
		{"$$(", "$(", ""},
		{"$$($(token_type))", "$(Bearer)", ""},
		{"$$(token_type)$(token_type)", "$(token_type)Bearer", ""},
		// A $ that begins nothing stays.
		{"$", "$", ""},
		{"a$", "a$", ""},
		{"$a", "$a", ""},
		{"$ (token_type)", "$ (token_type)", ""},
		{"${token_type}", "${token_type}", ""},
		{"100$ (net)", "100$ (net)", ""},
		{"$)", "$)", ""},
		{"$é$(token_type)", "$éBearer", ""},
		{"(token_type)", "(token_type)", ""},
		{"$(token_type))", "Bearer)", ""},
		// Names that stand for nothing.
		{"$(nothing)", "", "nothing"},
		{"$$$(nothing)", "", "nothing"},
		{"$()", "", "-"},
		{"$( token_type)", "", " token_type"},
		{"$(token_type )", "", "token_type "},
		{"$(TOKEN_TYPE)", "", "TOKEN_TYPE"},
		{"$(client_secret)", "", "client_secret"}, // another kind of device's
		{"$(token_type", "", "token_type"},
		{"$(", "", "-"},
		{"$(token_type) $(", "", "-"},
		{"$($(token_type))", "", "$(token_type"},
		{"$(" + strings.Repeat("n", 100) + ")", "", strings.Repeat("n", 64)},
	} {
		t.Run(c.template, func(t *testing.T) {
			got, err := Expand(c.template, valuesOf(untrusted))
			if c.unknown == "" {
				if err != nil || got != c.want {
					t.Fatalf("%q, %v; want %q", got, err, c.want)
				}
				return
			}
			var unknown *UnknownNameError
			if !errors.As(err, &unknown) || unknown.Name != strings.Trim(c.unknown, "-") || got != "" {
				t.Fatalf("%q, %v; want that %q stands for nothing", got, err, c.unknown)
			}
			if !strings.Contains(err.Error(), "$("+unknown.Name+")") {
				t.Errorf("the error %q does not name it", err)
			}
		})
	}
}

// kubernetes expands as the kubelet does (k8s.io/kubernetes, third_party/forked/golang/expansion), written anew: whatever follows
// a $ is an escaped $, a reference, or itself. ok is false for a reference that is not known or never ends.
func kubernetes(template string, values map[string]string) (out string, ok bool) {
	before, after, found := strings.Cut(template, "$")
	if !found || after == "" {
		return template, true
	}
	if escaped, rest := strings.CutPrefix(after, "$"); rest {
		out, ok = kubernetes(escaped, values)
		if !ok {
			return "", false
		}
		return before + "$" + out, ok
	}
	reference, isReference := strings.CutPrefix(after, "(")
	if !isReference {
		if out, ok = kubernetes(after, values); !ok {
			return "", false
		}
		return before + "$" + out, ok
	}
	name, rest, closed := strings.Cut(reference, ")")
	value, known := values[name]
	if !closed || !known {
		return "", false
	}
	if out, ok = kubernetes(rest, values); !ok {
		return "", false
	}
	return before + value + out, ok
}

// admission is the expression by which the API server tells which templates a kind of device may have. Those of a trusted one depend on
// the user's auth, and stand at the spec.
func admission(t testing.TB, device string) *regexp.Regexp {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "config", "crd", "bases", "credentials.gini.net_giniusers.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var crd map[string]any
	if err = yaml.Unmarshal(content, &crd); err != nil {
		t.Fatal(err)
	}
	versions, _, _ := unstructured.NestedSlice(crd, "spec", "versions")
	version, _ := versions[0].(map[string]any)
	path, before := []string{"schema", "openAPIV3Schema", "properties", "spec"}, ".secret.data[k].matches('"
	if device == "untrusted" {
		path, before = append(path, "properties", "devices", "properties", device, "properties", "secret", "properties", "data"), "self[k].matches('"
	}
	rules, _, err := unstructured.NestedSlice(version, append(path, "x-kubernetes-validations")...)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range rules {
		fields, _ := rule.(map[string]any)
		text, _ := fields["rule"].(string)
		guard, expression, ok := strings.Cut(text, before)
		if ok && (device == "untrusted" || strings.Contains(guard, "self.derived.auth != '"+device+"'")) {
			// CEL and Go have the same expressions: RE2.
			return regexp.MustCompile(strings.TrimSuffix(expression, "'))"))
		}
	}
	t.Fatalf("no rule for the templates of %s devices", device)
	return nil
}

// FuzzExpand holds Expand against the reference, and against what the API server admits: both accept the same templates.
func FuzzExpand(f *testing.F) {
	for _, seed := range []string{
		"", "$", "$$", "$(", "$$(", "$$$(", "$()", "$(access_token)", "$$(access_token)", "$$$(access_token)", "$$$$(access_token)",
		"$(access_token", "$(nothing)", "a$(token_type)b$(expires_at)c", "$(client_id):$(client_secret)", "$$($(token_type))", "$($(token_type))",
		"$a$b", "$é$(authorization)", "\n$(authorization)\n", "$\n(x)", "$$a$$$", "$(authorization_basic)$", "$(user_identifier)(", "$(jwt)$$(jwt)", "$(x_jwt_authorization) $(jwt_expires_at)", "\xff$(token_type)", "$\xff(",
	} {
		f.Add(seed)
	}
	admitted := map[string]*regexp.Regexp{}
	for device := range kinds {
		admitted[device] = admission(f, device)
	}
	f.Fuzz(func(t *testing.T, template string) {
		for device, values := range kinds {
			got, err := Expand(template, valuesOf(values))
			want, ok := kubernetes(template, values)
			if ok != (err == nil) || got != want {
				t.Fatalf("%s %q: %q, %v; want %q, %v", device, template, got, err, want, ok)
			}
			if !strings.Contains(template, "$(") && !strings.Contains(template, "$$") && (err != nil || got != template) {
				t.Fatalf("%q has nothing to expand, and became %q, %v", template, got, err)
			}
			if utf8.ValidString(template) && admitted[device].MatchString(template) != (err == nil) {
				t.Fatalf("%s %q: admitted %v, expanded with %v", device, template, admitted[device].MatchString(template), err)
			}
		}
	})
}

// TestAdmissionOfValues: each name of a kind of device is admitted alone, and none of the other kind's.
func TestAdmissionOfValues(t *testing.T) {
	for device, own := range kinds {
		admitted := admission(t, device)
		for _, values := range kinds {
			for name := range values {
				_, known := own[name]
				if admitted.MatchString("$("+name+")") != known {
					t.Errorf("%s: $(%s) is admitted: %v", device, name, !known)
				}
			}
		}
	}
}
