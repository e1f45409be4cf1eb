package secret_test

import (
	"testing"

	"github.com/gini-operator/gini-operator/internal/secret"
)

func TestOddities(t *testing.T) {
	for name, c := range map[string]struct{ value, want string }{
		"plain":                     {"s3cr3t", ""},
		"empty":                     {"", ""},
		"punctuation":               {`a+b/c=%41:e"f'g`, ""},
		"random Base64":             {"q83vASNFZ4mrze8BI0VniQ==", ""},
		"short Base64":              {"YWI=", ""},
		"byte-order mark":           {"\ufeffs3cr3t", "begins with a byte-order mark"},
		"byte-order mark alone":     {"\ufeff", "begins with a byte-order mark"},
		"blank first":               {" s3cr3t", "begins with a blank"},
		"blank last":                {"s3cr3t ", "ends in a blank"},
		"blanks at both ends":       {" s3cr3t  ", "begins with a blank and ends in a blank"},
		"blanks alone":              {"  ", "is blank"},
		"blank within":              {"s3 cr3t", "holds a blank"},
		"no-break space last":       {"s3cr3t\u00a0", "ends in a no-break space"},
		"no-break space within":     {"s3\u00a0cr\u202f3t", "holds a no-break space"},
		"zero-width space first":    {"\u200bs3cr3t", "begins with a zero-width space"},
		"zero-width space within":   {"s3\u200bcr3t", "holds a zero-width space"},
		"zero-width space last":     {"s3cr3t\u200b", "ends in a zero-width space"},
		"byte-order mark last":      {"s3cr3t\ufeff", "ends in a zero-width space"},
		"em space":                  {"s3cr3t\u2003", "ends in an unusual blank"},
		"soft hyphen":               {"s3\u00adcr3t", "holds an invisible character"},
		"mark of direction":         {"s3cr3t\u200e", "ends in an invisible character"},
		"double quotes":             {`"s3cr3t"`, "is wrapped in quotes"},
		"single quotes":             {`'s3cr3t'`, "is wrapped in quotes"},
		"backticks":                 {"`s3cr3t`", "is wrapped in quotes"},
		"one quote":                 {`"`, ""},
		"curly quotes":              {"“s3cr3t”", "is wrapped in quotes and holds a character that is not ASCII"},
		"quotes and a blank":        {`"s3cr3t" `, "ends in a blank and is wrapped in quotes"},
		"everything":                {"\ufeff \"s3\u200bcr3t\"\u00a0", "begins with a byte-order mark, begins with a blank, ends in a no-break space, is wrapped in quotes and holds a zero-width space"},
		"a dash of a text document": {"s3cr3t–x", "holds a character that is not ASCII"},
		"placeholder":               {"<client-secret>", "looks like a placeholder"},
		"shell placeholder":         {"${CLIENT_SECRET}", "looks like a placeholder"},
		"Base64 of text":            {"czNjcjN0LXZhbHVl", "looks Base64-encoded once too often"},
		"Base64 of a line":          {"czNjcjN0LXYK", "looks Base64-encoded once too often"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := secret.Oddities(c.value); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestRemark(t *testing.T) {
	for want, values := range map[string][]secret.Named{
		"":                                  {{"the client id", "acme"}, {"the client secret", "s3cr3t"}},
		"the client secret ends in a blank": {{"the client id", "acme"}, {"the client secret", "s3cr3t "}},
		"the client id is wrapped in quotes; the client secret begins with a blank": {{"the client id", `"acme"`}, {"the client secret", " s3cr3t"}},
	} {
		if got := secret.Remark(values...); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
