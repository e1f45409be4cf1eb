package target

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/credential"
)

// Template is the part of a device's spec that its Secret is rendered from.
type Template struct {
	Name        string
	Device      api.DeviceKind
	Type        corev1.SecretType
	Labels      map[string]string
	Annotations map[string]string
	Data        map[string]api.Template
	Retain      bool
}

// ForUntrusted is the template of an untrusted device.
func ForUntrusted(device *api.UntrustedDeviceSpec) Template {
	template := common(api.UntrustedDevice, device.Secret.TargetSecret, device.Secret.Data)
	template.Retain = device.Secret.DeletionPolicy == api.RetainSecret
	return template
}

// ForTrusted is the template of a trusted device.
func ForTrusted(device *api.TrustedDeviceSpec) Template {
	return common(api.TrustedDevice, device.Secret.TargetSecret, device.Secret.Data)
}

// common makes a template; what is empty in a spec is the same as what is absent.
func common(kind api.DeviceKind, spec api.TargetSecret, data map[string]api.Template) Template {
	template := Template{Name: string(spec.Name), Device: kind, Type: corev1.SecretTypeOpaque}
	if spec.Type != "" {
		template.Type = corev1.SecretType(spec.Type)
	}
	if len(spec.Labels) > 0 {
		template.Labels = make(map[string]string, len(spec.Labels))
		for name, value := range spec.Labels {
			template.Labels[name] = string(value)
		}
	}
	if len(spec.Annotations) > 0 {
		template.Annotations = make(map[string]string, len(spec.Annotations))
		for name, value := range spec.Annotations {
			template.Annotations[name] = string(value)
		}
	}
	if len(data) > 0 {
		template.Data = data
	}
	return template
}

// Hash identifies the template, so that a Secret that was rendered from another one is recognised by its metadata.
func (t Template) Hash() string {
	encoded, err := json.Marshal(t) // keys of maps are sorted
	if err != nil {
		panic("target: a template of strings cannot be encoded: " + err.Error())
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:8])
}

// Render makes the data of a Secret: the values under their own names, and the template's data expanded with them.
func (t Template) Render(values credential.Values) (map[string][]byte, error) {
	data := map[string][]byte{}
	size := 0
	for name, value := range values {
		data[name] = []byte(value.Reveal())
		size += len(data[name])
	}
	for key, template := range t.Data {
		expanded, err := expand(string(template), values, corev1.MaxSecretSize-size)
		if err != nil {
			return nil, fmt.Errorf("key %q of Secret %q: %w", key, t.Name, err)
		}
		data[key] = []byte(expanded)
		size += len(expanded)
	}
	return data, nil
}

// ErrTooLarge says that what is rendered does not fit into a Secret, whose data has at most 1 MiB.
var ErrTooLarge = errors.New("the data is larger than 1 MiB")

// UnknownNameError is a $(name) that stands for nothing.
type UnknownNameError struct{ Name string }

// Error implements error.
func (e *UnknownNameError) Error() string {
	return fmt.Sprintf("$(%s) stands for nothing here", e.Name)
}

// Expand replaces each $(name) by its value as Kubernetes does in the args of a pod: $$ stands for one $, so that
// $$(name) stands for $(name) itself, and any other $ stays as it is. Unlike there, an unknown or unfinished name is an error.
func Expand(template string, values credential.Values) (string, error) {
	return expand(template, values, corev1.MaxSecretSize)
}

func expand(template string, values credential.Values, room int) (string, error) {
	var out strings.Builder
	for i := 0; i < len(template); i++ {
		if out.Len() > room {
			return "", ErrTooLarge
		}
		rest := template[i:]
		switch {
		case strings.HasPrefix(rest, "$$"):
			out.WriteByte('$')
			i++
		case strings.HasPrefix(rest, "$("):
			name, _, closed := strings.Cut(rest[2:], ")")
			value, known := values[name]
			if !closed || !known {
				return "", &UnknownNameError{Name: name[:min(len(name), 64)]}
			}
			out.WriteString(value.Reveal())
			i += len(name) + 2
		default:
			out.WriteByte(template[i])
		}
	}
	if out.Len() > room {
		return "", ErrTooLarge
	}
	return out.String(), nil
}
