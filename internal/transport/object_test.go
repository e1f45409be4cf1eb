package transport

import (
	"math"
	"testing"
)

// TestParseObject: names are taken as they are written, and one that stands there twice says nothing.
func TestParseObject(t *testing.T) {
	for content, want := range map[string]string{
		`{"token":"a"}`:                               "a",
		" \n{\"token\" : \"a\" }\n":                   "a",
		"\xef\xbb\xbf{\"token\":\"a\"}":               "a",
		"\xef\xbb\xbf\n{\"token\":\"a\"}":             "a",
		`{"Token":"b","token":"a","TOKEN":"c"}`:       "a",
		`{"token":"a","x":{"token":"b"},"y":["t",1]}`: "a",
		`{"\u0074oken":"a"}`:                          "a",
		`{"token":" a "}`:                             " a ",
		`{"Token":"a"}`:                               "",
		`{"TOKEN":"a"}`:                               "",
		`{"to\u212Aen":"a"}`:                          "", // the Kelvin sign, which encoding/json folds to k
		`{"token":"a","token":"a"}`:                   "",
		`{"token":"a","token":null,"token":"b"}`:      "",
		`{"token":null}`:                              "",
		`{"token":7}`:                                 "",
		`{"token":["a"]}`:                             "",
		`{"token":""}`:                                "",
		`{"token":" \t"}`:                             "",
		`{"token":"null"}`:                            "",
		`{"token":" NULL "}`:                          "",
		`{"token":"undefined"}`:                       "",
		`{"token":"None"}`:                            "",
		`{"token":"nil"}`:                             "",
		`{"token":"NaN"}`:                             "",
		`{"token":"nullable"}`:                        "nullable",
		`{}`:                                          "",
	} {
		object, ok := ParseObject([]byte(content))
		text, says := object.Text("token")
		if !ok || text != want || says != (want != "") {
			t.Errorf("%s: %q, %t", content, text, says)
		}
	}
	for _, content := range []string{
		``, `null`, `"a"`, `7`, `[]`, `[{"token":"a"}]`, `{"token":"a"`, `{"token":"a",}`, `{"token":"a"}{}`, `{token:"a"}`, "\xef\xbb\xbf", "\xff\xfe{\x00}\x00",
		"{}\xef\xbb\xbf", "\xef\xbb\xbf\xef\xbb\xbf{}",
	} {
		if object, ok := ParseObject([]byte(content)); ok || object != nil {
			t.Errorf("%q is taken for an object: %v", content, object)
		}
	}
}

func TestSays(t *testing.T) {
	for value, want := range map[string]bool{
		`"a"`: true, `7`: true, `false`: true, `{}`: true, `[]`: true, `null`: false, `""`: false, `" "`: false, `"null"`: false, `1,"name":1`: false,
	} {
		object, ok := ParseObject([]byte(`{"name":` + value + `}`))
		if !ok || object.Says("name") != want {
			t.Errorf("%s: %t", value, !want)
		}
	}
	if (Object{}).Says("name") {
		t.Error("what is absent says something")
	}
}

func TestParseNumber(t *testing.T) {
	for text, want := range map[string]float64{
		"0": 0, "-0": 0, "300": 300, "3600.0": 3600, "-5": -5, "1e3": 1000, "9223372036854775807": math.MaxInt64, "1e400": math.Inf(1), "-1e400": math.Inf(-1), "1e-400": 0,
	} {
		if number, ok := ParseNumber(text); !ok || number != want {
			t.Errorf("%s: %g, %t", text, number, ok)
		}
	}
	for _, text := range []string{"", "NaN", "Inf", "-Infinity", "+1", "0x10", "1_000", "01", "1.", ".5", `"1"`, "true", "null", "1 ", " 1", "-", "1e"} {
		if number, ok := ParseNumber(text); ok {
			t.Errorf("%q is %g", text, number)
		}
	}
}
