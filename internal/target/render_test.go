package target

import (
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/credential"
	"github.com/gini-operator/gini-operator/internal/secret"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func targetSecret() api.TargetSecret {
	return api.TargetSecret{
		Name: "alice-token", Type: "credentials.gini.net/token", Labels: map[string]api.LabelValue{"team": "a"},
		Annotations: map[string]api.AnnotationValue{"note": "n"},
	}
}

func TestTemplates(t *testing.T) {
	data := map[string]api.Template{"TOKEN": "$(access_token)"}
	got := ForUntrusted(&api.UntrustedDeviceSpec{Secret: api.UntrustedSecret{TargetSecret: targetSecret(), Data: data, DeletionPolicy: api.RetainSecret}})
	want := Template{
		Name: "alice-token", Device: api.UntrustedDevice, Type: "credentials.gini.net/token", Labels: map[string]string{"team": "a"},
		Annotations: map[string]string{"note": "n"}, Data: data, Retain: true,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("untrusted: %+v, want %+v", got, want)
	}
	got = ForTrusted(&api.TrustedDeviceSpec{Secret: api.TrustedSecret{TargetSecret: targetSecret(), Data: data}})
	want.Device, want.Retain = api.TrustedDevice, false
	if !reflect.DeepEqual(got, want) {
		t.Errorf("trusted: %+v, want %+v", got, want)
	}
	// What is absent: Opaque, deleted with its GiniUser, nothing else.
	for _, policy := range []api.DeletionPolicy{"", api.DeleteSecret} {
		got = ForUntrusted(&api.UntrustedDeviceSpec{Secret: api.UntrustedSecret{TargetSecret: api.TargetSecret{Name: "t"}, DeletionPolicy: policy}})
		if want := (Template{Name: "t", Device: api.UntrustedDevice, Type: corev1.SecretTypeOpaque}); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

// TestEmptyIsAbsent: an empty map in a spec makes the same Secret as one that is not there, and no write of it.
func TestEmptyIsAbsent(t *testing.T) {
	absent := api.TargetSecret{Name: "t"}
	empty := api.TargetSecret{Name: "t", Labels: map[string]api.LabelValue{}, Annotations: map[string]api.AnnotationValue{}}
	data := map[string]api.Template{}
	for device, templates := range map[string][2]Template{
		"untrusted": {
			ForUntrusted(&api.UntrustedDeviceSpec{Secret: api.UntrustedSecret{TargetSecret: absent}}),
			ForUntrusted(&api.UntrustedDeviceSpec{Secret: api.UntrustedSecret{TargetSecret: empty, Data: data}}),
		},
		"trusted": {
			ForTrusted(&api.TrustedDeviceSpec{Secret: api.TrustedSecret{TargetSecret: absent}}),
			ForTrusted(&api.TrustedDeviceSpec{Secret: api.TrustedSecret{TargetSecret: empty, Data: data}}),
		},
	} {
		if templates[0].Hash() != templates[1].Hash() {
			t.Errorf("%s: %+v differs from %+v", device, templates[1], templates[0])
		}
	}
}

func filled() Template {
	return Template{
		Name: "alice-token", Device: api.UntrustedDevice, Type: "Opaque", Labels: map[string]string{"a": "b", "c": "d"},
		Annotations: map[string]string{"a": "b"}, Data: map[string]api.Template{"a": "b"},
	}
}

// TestHash changes with every field, whatever fields there come to be, and with nothing else.
func TestHash(t *testing.T) {
	hashes := map[string]string{filled().Hash(): "unchanged"}
	note := func(what string, template Template) {
		t.Helper()
		hash := template.Hash()
		if other, known := hashes[hash]; known {
			t.Errorf("%s and %s have the same hash", what, other)
		}
		hashes[hash] = what
	}
	for field := range reflect.TypeFor[Template]().Fields() {
		template := filled()
		value := reflect.ValueOf(&template).Elem().FieldByIndex(field.Index)
		switch value.Kind() {
		case reflect.String:
			value.SetString(value.String() + "x")
		case reflect.Bool:
			value.SetBool(!value.Bool())
		case reflect.Map:
			element := reflect.New(field.Type.Elem()).Elem()
			element.SetString("z")
			value.SetMapIndex(reflect.ValueOf("a"), element)
			note(field.Name+" with another value", template)
			value.SetMapIndex(reflect.ValueOf("y"), element)
			note(field.Name+" with another key", template)
			value.SetZero()
		default:
			t.Fatalf("field %s of kind %s: teach this test to change it", field.Name, value.Kind())
		}
		note(field.Name, template)
	}
	for range 100 {
		if hash := filled().Hash(); hashes[hash] != "unchanged" || len(hash) > 64 {
			t.Fatal("not the same at every call")
		}
	}
	// What stands in one field is not taken for what stands in another.
	a, b := filled(), filled()
	a.Labels, a.Annotations = map[string]string{"x": "y"}, nil
	b.Labels, b.Annotations = nil, map[string]string{"x": "y"}
	if a.Hash() == b.Hash() {
		t.Error("a label and an annotation have the same hash")
	}
}

func TestRender(t *testing.T) {
	values := credential.ForUntrusted(secret.New("t0k"), noon)
	template := filled()
	template.Data = map[string]api.Template{"GINI_TOKEN": "$(access_token)", "header": "Authorization: $(authorization)", "note": "$$(x)"}
	data, err := template.Render(values)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"access_token": "t0k", "token_type": "Bearer", "expires_at": "2026-03-01T12:00:00Z", "authorization": "Bearer t0k",
		"GINI_TOKEN": "t0k", "header": "Authorization: Bearer t0k", "note": "$(x)",
	}
	got := map[string]string{}
	for key, value := range data {
		got[key] = string(value)
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}

	basic := credential.ForTrustedBasic("acme", secret.New("s3cr3t"), "alice")
	template.Device, template.Data = api.TrustedDevice, map[string]api.Template{"PAIR": "$(client_id)/$(client_secret)/$(user_identifier)/$(authorization_basic)"}
	data, err = template.Render(basic)
	if err != nil || string(data["PAIR"]) != "acme/s3cr3t/alice/Basic YWNtZTpzM2NyM3Q=" || len(data) != 5 {
		t.Errorf("%d keys, PAIR %q, %v", len(data), data["PAIR"], err)
	}
}

// TestRenderRefuses: a template that slipped by admission names its key, and no credential.
func TestRenderRefuses(t *testing.T) {
	template := filled()
	template.Data = map[string]api.Template{"BAD": "$(access_token) $(nothing)"}
	data, err := template.Render(credential.ForUntrusted(secret.New("t0k3n"), noon))
	var unknown *UnknownNameError
	if data != nil || !errors.As(err, &unknown) || unknown.Name != "nothing" {
		t.Fatalf("%v, %v", data, err)
	}
	for _, want := range []string{"BAD", "alice-token", "$(nothing)"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "t0k3n") {
		t.Errorf("%q holds the token", err)
	}
}

// TestRenderRoom: all data together, without the keys' names, has room for 1 MiB, as a Secret has.
func TestRenderRoom(t *testing.T) {
	const all = corev1.MaxSecretSize
	of := func(length int) string { return strings.Repeat("x", length) }
	for _, c := range []struct {
		name     string
		value    string
		template map[string]api.Template
		fits     bool
	}{
		{"as much as fits", of(100), map[string]api.Template{"a": api.Template(of(all - 100))}, true},
		{"a byte more", of(100), map[string]api.Template{"a": api.Template(of(all - 99))}, false},
		{"a byte more, of a value", of(100), map[string]api.Template{"a": api.Template(of(all-199) + "$(v)")}, false},
		{"as much as fits, of a value", of(100), map[string]api.Template{"a": api.Template(of(all-200) + "$(v)")}, true},
		{"nothing more to come but what is empty", "", map[string]api.Template{"a": api.Template(of(all) + "$(v)")}, true},
		{"in two keys", "", map[string]api.Template{"a": api.Template(of(all / 2)), "b": api.Template(of(all / 2))}, true},
		{"a byte more in two keys", "", map[string]api.Template{"a": api.Template(of(all / 2)), "b": api.Template(of(all/2 + 1))}, false},
		{"a value over and over", of(all / 4), map[string]api.Template{"a": api.Template(strings.Repeat("$(v)", 1000))}, false},
		{"no room left for nothing", of(all + 1), map[string]api.Template{"a": ""}, false},
	} {
		template := filled()
		template.Data = c.template
		data, err := template.Render(credential.Values{"v": secret.New(c.value)})
		if c.fits != (err == nil) || !c.fits && (!errors.Is(err, ErrTooLarge) || data != nil) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
