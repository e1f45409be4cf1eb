package v1alpha1_test

import (
	"fmt"
	"slices"
	"strings"
)

const (
	typeMessage           = "type must be Opaque, or credentials.gini.net/<name> with a name of lower case letters and '-'"
	labelNameMessage      = "labels must have valid names"
	labelValueMessage     = "labels must have valid values: letters, digits, '-', '_' and '.'"
	labelOursMessage      = "labels credentials.gini.net/… and app.kubernetes.io/managed-by are set by the operator: leave them out"
	labelGitOps           = "labels by which Argo CD, Flux or Helm track what they own would make them delete the Secret: leave them out"
	annotationNameMessage = "annotations must have valid names"
	annotationOurs        = "annotations credentials.gini.net/… are set by the operator: leave them out"
	annotationKubernetes  = "annotations of kubernetes.io and k8s.io have effects in the cluster: leave them out"
	annotationGitOps      = "annotations by which Argo CD, Flux or Helm track what they own would make them delete the Secret: leave them out"
	dataKeysMessage       = "data must have keys of letters, digits, '-', '_' and '.', other than . and those that begin with .."
	untrustedDefaults     = "data adds to the keys access_token, token_type, expires_at and authorization: choose other keys"
	trustedDefaults       = "data adds to the keys client_id, client_secret, user_identifier, authorization_basic, jwt, jwt_expires_at and x_jwt_authorization: choose other keys"
	untrustedTemplate     = "data of an untrusted device may use $(access_token), $(token_type), $(expires_at) and $(authorization); write $$( for a literal $("
	basicTemplate         = "data of a trusted device with auth Basic may use $(client_id), $(client_secret), $(user_identifier) and $(authorization_basic);" +
		" write $$( for a literal $("
	jwtTemplate = "data of a trusted device with auth JWT may use $(jwt), $(jwt_expires_at) and $(x_jwt_authorization); write $$( for a literal $("
)

// secretRefusals are those of both kinds of devices' Secrets.
func secretRefusals() []refusal {
	var all []refusal
	for device, base := range map[string]string{"untrusted": "derived", "trusted": "trusted"} {
		at := "spec.devices." + device + ".secret"
		refuse := func(field, message string, values ...string) {
			for _, value := range values {
				all = append(all, refusal{base: base, edits: set(at+"."+field, value), field: at + "." + field, message: message})
			}
		}
		refuse("type", typeMessage, "kubernetes.io/tls", "opaque", "credentials.gini.net/", "credentials.gini.net/Token", "credentials.gini.net/a-",
			"credentials-gini.net/a", "x.credentials.gini.net/a", `"Opaque\n"`, "credentials.gini.net/"+strings.Repeat("a", 41))
		refuse("type", "may not be more than 80", strings.Repeat("a", 81))
		refuse("labels", labelNameMessage, `{"": x}`, `{"-a": x}`, `{"a b": x}`, `{"Acme.example/a": x}`, `{a/b/c: x}`, `{"a/": x}`,
			"{"+strings.Repeat("a", 64)+": x}", "{"+strings.Repeat("p", 254)+"/a: x}")
		refuse("labels", labelValueMessage, `{a: "x y"}`, `{a: "-x"}`, `{a: "x/y"}`, `{a: "x\n"}`)
		refuse("labels", labelOursMessage, "{credentials.gini.net/gini-user: bob}", "{credentials.gini.net/adopt-by: bob}", "{app.kubernetes.io/managed-by: Helm}")
		refuse("labels", labelGitOps, "{app.kubernetes.io/instance: acme}", "{argocd.argoproj.io/instance: acme}", "{kustomize.toolkit.fluxcd.io/name: acme}",
			"{helm.toolkit.fluxcd.io/name: acme}", "{helm.sh/chart: acme}")
		refuse("annotations", annotationNameMessage, `{"": x}`, `{"-a": x}`, `{"a b": x}`, `{"Acme.example/a": x}`, `{a/b/c: x}`,
			"{"+strings.Repeat("p", 254)+"/a: x}")
		refuse("annotations", annotationOurs, "{credentials.gini.net/expires-at: never}", "{credentials.gini.net/x: z}")
		refuse("annotations", annotationKubernetes, "{kubernetes.io/x: z}", "{kubectl.kubernetes.io/last-applied-configuration: z}", "{k8s.io/x: z}",
			"{storage.k8s.io/x: z}", "{a.b.kubernetes.io/x: z}")
		refuse("annotations", annotationGitOps, "{argocd.argoproj.io/tracking-id: x}", "{kustomize.toolkit.fluxcd.io/prune: x}", "{meta.helm.sh/release-name: x}",
			"{helm.sh/hook: x}")
		crowd := make([]string, 33)
		for i := range crowd {
			crowd[i] = fmt.Sprintf("k%d: x", i)
		}
		for _, field := range []string{"labels", "annotations", "data"} {
			refuse(field, "must have at most 32 items", "{"+strings.Join(crowd, ", ")+"}")
		}
		for field, most := range map[string]int{"labels.a": 63, "annotations.a": 1024, "data.a": 2048} {
			refuse(field, fmt.Sprintf("may not be more than %d", most), strings.Repeat("x", most+1))
		}
	}
	return append(all, dataRefusals()...)
}

// templates are what the data of a kind of device may hold: the names of values, and the keys that are taken.
type templates struct {
	base, device, defaults, template string
	names, taken                     []string
}

// Names of values, each of which is a key as well.
var (
	untrustedNames = []string{"access_token", "token_type", "expires_at", "authorization"}
	basicNames     = []string{"client_id", "client_secret", "user_identifier", "authorization_basic"}
	jwtNames       = []string{"jwt", "jwt_expires_at", "x_jwt_authorization"}
	trustedNames   = slices.Concat(basicNames, jwtNames) // taken with either auth, so that the auth may change
	everyName      = slices.Concat(untrustedNames, trustedNames)
)

// everyTemplates are those of each kind of device and each auth.
func everyTemplates() []templates {
	return []templates{
		{"derived", "untrusted", untrustedDefaults, untrustedTemplate, untrustedNames, untrustedNames},
		{"JWT", "untrusted", untrustedDefaults, untrustedTemplate, untrustedNames, untrustedNames},
		{"anonymous", "untrusted", untrustedDefaults, untrustedTemplate, untrustedNames, untrustedNames},
		{"trusted", "trusted", trustedDefaults, basicTemplate, basicNames, trustedNames},
		{"trusted JWT", "trusted", trustedDefaults, jwtTemplate, jwtNames, trustedNames},
	}
}

// dataRefusals are those of the data of devices' Secrets.
func dataRefusals() []refusal {
	var all []refusal
	for _, own := range everyTemplates() {
		field := "spec.devices." + own.device + ".secret.data"
		refuse := func(message string, values ...string) {
			for _, value := range values {
				all = append(all, refusal{base: own.base, edits: set(field, value), field: field, message: message})
			}
		}
		refuse(dataKeysMessage, `{"a b": x}`, `{a/b: x}`, `{"": x}`, `{".": x}`, `{"..a": x}`, "{"+strings.Repeat("a", 254)+": x}")
		for _, name := range own.taken {
			refuse(own.defaults, "{"+name+": x}", "{b: z, "+name+": x}")
		}
		for _, name := range own.names {
			refuse(own.template, `{a: "$(`+name+`"}`, `{a: "x $( `+name+`)"}`, `{a: "$(`+name+`) $(nope)"}`, `{a: "$(`+strings.ToUpper(name)+`)"}`,
				`{a: "$(`+name+`s)"}`)
		}
		refuse(own.template, `{a: "$(unknown)"}`, `{a: "$("}`, `{a: "$()"}`, `{a: "$$$(unknown)"}`, `{a: ok, b: "$(nope)"}`, `{a: "line\n$(nope)\n"}`)
		// What another kind of device, or another auth, may use.
		for _, name := range everyName {
			if !slices.Contains(own.names, name) {
				refuse(own.template, `{a: "$(`+name+`)"}`)
			}
		}
	}
	// Another auth comes with other values.
	const trusted = "spec.devices.trusted.secret.data"
	return append(all,
		refusal{base: "trusted", edits: set(trusted, `{a: "$(client_id)"}`), updates: set("spec.derived.auth", "JWT"), field: trusted, message: jwtTemplate},
		refusal{base: "full user", updates: set("spec.derived.auth", "JWT"), field: trusted, message: jwtTemplate},
		refusal{base: "trusted JWT", updates: set("spec.derived.auth", "Basic"), field: trusted, message: basicTemplate},
		refusal{base: "trusted JWT", updates: set(trusted, `{a: "$(user_identifier)"}`), field: trusted, message: jwtTemplate},
	)
}

// secretAcceptances are what is at the edge of what devices' Secrets may be.
func secretAcceptances() []acceptance {
	all := each("derived", map[string][]string{
		"spec.devices.untrusted.secret.type":           {"Opaque", "credentials.gini.net/a", "credentials.gini.net/gini-token"},
		"spec.devices.untrusted.secret.labels":         {`{a: ""}`, "{a.example/b: c}", "{app.kubernetes.io/name: x}", "{helm: sh}"},
		"spec.devices.untrusted.secret.annotations":    {`{a: ""}`, "{a.example/b: '€ and $(no) template'}", "{notk8s.io/a: x}", "{reloader.stakater.com/match: 'true'}"},
		"spec.devices.untrusted.secret.deletionPolicy": {"Delete", "Retain"},
	})
	for _, own := range everyTemplates() {
		field := "spec.devices." + own.device + ".secret.data"
		values := []string{"$$(whatever)", "a $ b", "$", "$$", "", "100$"}
		for _, name := range own.names {
			values = append(values, "$("+name+")", "$$$("+name+")", "\n$("+name+")\n", "$$("+name+")$("+name+")$")
		}
		for _, value := range values {
			all = append(all, acceptance{base: own.base, edits: set(field+".EXTRA", fmt.Sprintf("%q", value))})
		}
		all = append(all, acceptance{base: own.base, edits: set(field, "{.a: x, a..b: x, JWT: x, "+strings.Repeat("k", 253)+": x}")})
	}
	// What holds no value fits either auth, and another auth may come with other data.
	const trusted = "spec.devices.trusted.secret.data"
	return append(all,
		acceptance{base: "trusted", edits: set(trusted, `{a: "$$(client_id)", b: $}`), updates: set("spec.derived.auth", "JWT")},
		acceptance{base: "trusted JWT", updates: []edit{{"spec.derived.auth", "Basic"}, {trusted, ""}}},
		acceptance{base: "trusted JWT", updates: []edit{{"spec.derived.auth", "Basic"}, {trusted, `{a: "$(authorization_basic)"}`}}},
		acceptance{base: "full user", updates: []edit{{"spec.derived.auth", "JWT"}, {trusted, `{a: "$(x_jwt_authorization)"}`}}},
		acceptance{base: "full user", updates: []edit{{"spec.derived.auth", "JWT"}, {"spec.devices.trusted", ""}}},
	)
}
