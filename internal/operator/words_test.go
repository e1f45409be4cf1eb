package operator_test

import (
	"fmt"
	"strings"
	"time"
)

// cast is who the generated objects may speak of.
type cast struct {
	// url is where Gini is.
	url string
	// namespace is where nearly everything is, elsewhere another one.
	namespace, elsewhere string
	// clients and users are the names of all generated objects; sensible are clients with values that make sense.
	clients, sensible, users []string
	// secrets are names of Secrets with odd content, and of some that do not exist.
	secrets []string
}

// word is what a field may hold: as a person would write it, and at the far end of what is allowed. Where absurd is nil, there is
// no such end.
type word struct{ sensible, absurd func(g *generator) string }

// words are what one generated object may hold.
type words struct {
	// name of the object.
	name       string
	vocabulary map[string]word
}

// of finds the word for a field by the longest end of its path that is known. Of an unknown field, trying has to tell.
func (w words) of(path string) word {
	for rest := path; rest != ""; {
		if known, ok := w.vocabulary[rest]; ok {
			return known
		}
		_, rest, _ = strings.Cut(rest, ".")
	}
	return word{always("text"), func(g *generator) string { return anything(g, 100) }}
}

func always(text string) func(*generator) string { return func(*generator) string { return text } }

func oneOf(texts ...string) func(*generator) string {
	return func(g *generator) string { return pick(g, texts) }
}

// own is a name that no other object uses.
func own(suffix string) func(*generator) string {
	return func(g *generator) string { return g.words.name + suffix }
}

// long is a text of a length that ends in letters of its own.
func long(length int, of string) string { return strings.Repeat(of, length/len(of)+1)[:length] }

// odd are texts that take programs by surprise.
var odd = []string{
	"", " ", "\n", "\x00", "\x7f\x1b[31m", "null", "true", "0", "~", "{{.}}", "%s%n", "../../etc/passwd", "\u202eright to left", "\ufeff\u200b",
	"e\u0301\u0327\u0308", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u2028\u2029", "\ufffd", "'; --", "${x}", "- a: b\n---\n", strings.Repeat("\U0001f4a9", 1024),
}

// durations are the forms of what lies between two bounds.
func durations(least, most time.Duration) []string {
	return []string{
		least.String(), most.String(), fmt.Sprintf("%dns", least), fmt.Sprintf("%dns", most), fmt.Sprintf("%dus", least.Microseconds()),
		fmt.Sprintf("%d\u00b5s", least.Microseconds()), fmt.Sprintf("+%dms", least.Milliseconds()), fmt.Sprintf("%.9fs", least.Seconds()),
		fmt.Sprintf("%.1fh", most.Hours()), (most - 1).String(), (least + 1).String(), "0h0m" + fmt.Sprintf("%020ds", int(least.Seconds())),
		strings.Repeat("0s", 500) + most.String(), fmt.Sprintf("%d.s", int(least.Seconds())),
	}
}

// templates are values of data that may use some names.
func templates(names func(g *generator) []string) word {
	return word{
		func(g *generator) string { return "Bearer $(" + pick(g, names(g)) + ")" },
		func(g *generator) string {
			name := pick(g, names(g))
			use := "$(" + name + ")"
			return pick(g, append([]string{
				strings.Repeat(use, 2048/len(use)), long(2048, "$"), long(2048, "$$("), "$$" + use, "$$(unknown)", "$", "$ (", "\U0001f4a9" + use, long(2048, "a"),
			}, odd...))
		},
	}
}

// names is the vocabulary of the names of Secrets, ConfigMaps and clients: all that others use as well.
func (c cast) names(sensible func(*generator) string) word {
	return word{sensible, func(g *generator) string {
		return pick(g, []string{
			pick(g, c.secrets), pick(g, c.secrets), pick(g, c.users) + "-untrusted", pick(g, c.users) + "-account", pick(g, c.clients), pick(g, c.clients) + "-keys",
			g.words.name, g.words.name + "." + long(max(252-len(g.words.name), 1), "l"), "0",
		})
	}}
}

// vocabulary has words for fields by the end of their path.
func (c cast) vocabulary() map[string]word {
	longKey := long(253, ".k-_")
	key := func(name string) word {
		return word{always(name), oneOf("empty", "binary", "huge", "absent", longKey, ".", "..", "...", "-", "__proto__", name)}
	}
	address := word{always(c.url), oneOf(
		c.url, c.url, c.url+"/", c.url+"//a//b/", c.url+"/"+long(499-len(c.url), "p"), strings.Replace(c.url, "http", "HTTP", 1), c.url+"/%00%2f", c.url+"/%zz",
		strings.Replace(c.url, "127.0.0.1", "localhost", 1), "https://pay-api.gini.net", "https://user.gini.net:443", "http://[::1]:1/", "http://0.0.0.0",
		"http://169.254.169.254/latest/meta-data", "https://127.0.0.1:99999", "https://a:", "https://"+long(490, "a."), "https://xn--0.example", "http://*.example",
		"https://\u00fc.example", "http://2130706433",
	)}
	claimName := func(name string) word {
		return word{always(name), oneOf(long(128, "c:/"), ".", "sub", "x-user-identifier", "x-client-id", "__proto__", name)}
	}
	issuer := word{always("https://id.acme.example"), oneOf("!", long(500, "~"), "\"'<>\\{}", "https://id.acme.example")}
	duration := func(usual string, least, most time.Duration) word {
		return word{always(usual), oneOf(durations(least, most)...)}
	}
	labelValue := word{always("team-a"), oneOf("", long(63, "v"), "0", "a..b", "a__--__b", "true")}
	labelKey := word{
		func(g *generator) string { return fmt.Sprintf("acme.example/label-%d", g.random.IntN(100)) },
		func(g *generator) string {
			number := g.random.IntN(100)
			return pick(g, []string{
				fmt.Sprintf("%s/%s%02d", long(253, "p"), long(61, "n"), number), fmt.Sprintf("%s/%02d", long(253, "p.q"), number), fmt.Sprintf("%s/%02d", long(314, "p"), number), fmt.Sprint(number),
				fmt.Sprintf("a/%d", number), fmt.Sprintf("N_.-%dn", number), fmt.Sprintf("xkubernetes.io/%d", number),
			})
		},
	}
	dataKey := word{
		func(g *generator) string { return fmt.Sprintf("GINI_%d", g.random.IntN(100)) },
		func(g *generator) string {
			number := g.random.IntN(100)
			return pick(g, []string{long(251, "k.-_") + fmt.Sprintf("%02d", number), fmt.Sprint(number), fmt.Sprintf(".%d", number), fmt.Sprintf("-_%d", number)})
		},
	}
	vocabulary := map[string]word{
		// GiniUser
		"clientRef.name": {
			func(g *generator) string { return pick(g, c.sensible) },
			func(g *generator) string {
				return pick(g, []string{pick(g, c.clients), pick(g, c.clients), pick(g, c.sensible), "absent", pick(g, c.secrets), long(253, "c")})
			},
		},
		"clientRef.namespace":      {always(c.namespace), oneOf(c.namespace, c.namespace, c.elsewhere, "kube-system", "nowhere", long(63, "n"))},
		"derived.identifier":       {own("-8f1c"), oneOf(long(256, "~"), "!", "a   b", "shared", "\"'\\:,;<>%00", "basic", long(256, "!~ ")[:255]+"!")},
		"identifierSecretRef.name": c.names(always("identifiers")),
		"identifierSecretRef.key":  key("identifier"),
		"accountSecret.name":       c.names(own("-account")),
		"untrusted.secret.name":    c.names(own("-untrusted")),
		"trusted.secret.name":      c.names(own("-trusted")),
		"secret.type":              {oneOf("Opaque", "credentials.gini.net/token"), oneOf("Opaque", "credentials.gini.net/"+long(40, "t"), "credentials.gini.net/a")},
		"labels.#":                 labelKey,
		"labels.*":                 labelValue,
		"annotations.#":            labelKey,
		"annotations.*":            {always("of team a"), oneOf(append(odd, long(1024, "a"))...)},
		"data.#":                   dataKey,
		"untrusted.secret.data.*": templates(func(*generator) []string {
			return []string{"access_token", "token_type", "expires_at", "authorization"}
		}),
		"trusted.secret.data.*": templates(func(g *generator) []string {
			if g.auth == "JWT" {
				return []string{"jwt", "jwt_expires_at", "x_jwt_authorization"}
			}
			return []string{"client_id", "client_secret", "user_identifier", "authorization_basic"}
		}),
		"renewal.before":         duration("30m", time.Second, 87600*time.Hour),
		"renewal.verifyInterval": duration("1h", time.Minute, 87600*time.Hour),

		// GiniClient
		"credentialsSecretRef.name":       c.names(always("good")),
		"clientCredentialsSecretRef.name": c.names(always("good")),
		"clientIDKey":                     key("client-id"),
		"clientSecretKey":                 key("client-secret"),
		"payAPI.url":                      address,
		"userCenter.url":                  address,
		"tokenURL":                        address,
		"mediaType":                       {always("application/vnd.gini.v1+json"), oneOf("application/"+long(88, "+.-"), "application/vnd.gini.v1+json", "application/-")},
		"caBundleRef.name":                c.names(always("authority")),
		"caBundleRef.key":                 key("ca.crt"),
		"emailDomain":                     {always("users.acme.example"), oneOf("a.b", strings.Repeat(long(63, "d")+".", 3)+"example", "0.0", "127.0.0.1")},
		"identifierPrefix":                {oneOf("team-a-", "u"), oneOf("!", long(128, "~"), "u", "a ")},
		"matchLabels.#":                   {always("team"), oneOf("team", "", " ", long(1000, "k"), "a/b/c", "kubernetes.io/metadata.name", "\x00")},
		"matchLabels.*":                   {always("a"), oneOf(append(odd, "a", long(1000, "v"), c.elsewhere)...)},
		"matchExpressions.key":            {always("team"), oneOf("team", "", " ", long(1000, "k"), "a/b/c", "kubernetes.io/metadata.name")},
		"matchExpressions.operator":       {oneOf("Exists", "DoesNotExist"), oneOf("In", "NotIn", "Exists", "Gt", "", "in", "\x00")},
		"matchExpressions.values":         {always("a"), oneOf(append(odd, "a", long(1000, "v"))...)},
		"issuer":                          issuer,
		"tokenLifetime":                   duration("15m", time.Minute, 24*time.Hour),
		"claimNames.userIdentifier":       claimName("x-user-identifier"),
		"claimNames.clientID":             claimName("x-client-id"),
		"claimNames.clientSecret":         claimName("x-client-secret"),
		"claims.name": {
			func(g *generator) string { return fmt.Sprintf("claim-%d", g.random.IntN(100)) },
			func(g *generator) string {
				return pick(g, []string{long(126, "c/:") + fmt.Sprintf("%02d", g.random.IntN(100)), fmt.Sprint(g.random.IntN(100)), "aud", "__proto__"})
			},
		},
		"claims.value": {always("value"), oneOf(append(odd[:len(odd)-1:len(odd)-1], long(100, "v"), long(60, "\U0001f4a9"))...)},
		"parameters.#": {
			always("audience"),
			func(g *generator) string {
				return pick(g, []string{long(126, "p/:") + fmt.Sprintf("%02d", g.random.IntN(100)), fmt.Sprint(g.random.IntN(100)), "aud", "__proto__"})
			},
		},
		"parameters.*":            {always("https://pay-api.gini.net"), oneOf(" ", "null", "0", "a&b=c", long(1024, "v"), long(1024, "\U0001f4a9"))},
		"managed.secretName":      c.names(own("-keys")),
		"rotationInterval":        duration("2160h", 48*time.Hour, 87600*time.Hour),
		"key.secretRef.name":      c.names(always("good")),
		"secretRef.key":           key("tls.key"),
		"secretRef.nextKey":       key("next.key"),
		"userIdentifierParameter": {always("sub"), oneOf("sub", long(128, "p"), ".", "refresh_token", "username")},
		"scopes": {
			func(g *generator) string { return fmt.Sprintf("scope-%d", g.random.IntN(100)) },
			func(g *generator) string {
				return pick(g, []string{long(254, "!~") + fmt.Sprintf("%02d", g.random.IntN(100)), "!", fmt.Sprint(g.random.IntN(100))})
			},
		},
	}
	return vocabulary
}
