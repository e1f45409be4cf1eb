package gini

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/transport"
)

func TestParseGrant(t *testing.T) {
	const century = MaxLifetime
	for _, test := range []struct {
		fields string // after access_token
		want   time.Duration
		known  bool
	}{
		{`,"expires_in":43199`, 43199 * time.Second, true},
		{`,"expires_in":3600.0`, time.Hour, true},
		{`,"expires_in":0.5`, 500 * time.Millisecond, true},
		{`,"expires_in":"43199"`, 43199 * time.Second, true},
		{`,"expires_in":" 300 "`, 300 * time.Second, true},
		{`,"expires_in":0`, 0, true},
		{`,"expires_in":-0`, 0, true},
		{`,"expires_in":-5`, -5 * time.Second, true},
		{`,"expires_in":1e12`, century, true},
		{`,"expires_in":9223372036854775807`, century, true},
		{`,"expires_in":"9223372036854775808"`, century, true},
		{`,"expires_in":-9223372036854775808`, -century, true},
		{`,"expires_in":1e300`, century, true},
		{`,"expires_in":3153600000`, century, true},
		{`,"expires_in":3153599999`, century - time.Second, true},
		{`,"EXPIRES_IN":300`, 0, false},
		{`,"expires_in":300,"Expires_In":1`, 300 * time.Second, true},
		{`,"expires_in":300,"expires_in":300`, 0, false},
		{`,"token_type":"null","expires_in":"null"`, 0, false},
		{`,"Access_Token":"b","TOKEN_TYPE":"mac","Refresh_Token":7`, 0, false},
		{`,"expires_in":1e400`, century, true},
		{`,"expires_in":-1e400`, -century, true},
		{`,"expires_in":"1e400"`, century, true},
		{`,"expires_in":1e-400`, 0, true},
		{``, 0, false},
		{`,"expires_in":null`, 0, false},
		{`,"expires_in":"abc"`, 0, false},
		{`,"expires_in":""`, 0, false},
		{`,"expires_in":"NaN"`, 0, false},
		{`,"expires_in":"Inf"`, 0, false},
		{`,"expires_in":"-Infinity"`, 0, false},
		{`,"expires_in":"0x10"`, 0, false},
		{`,"expires_in":"1_000"`, 0, false},
		{`,"expires_in":true`, 0, false},
		{`,"expires_in":{"a":1}`, 0, false},
		{`,"expires_in":[300]`, 0, false},
		{`,"token_type":"BEARER","scope":"read","x":{"y":[1,2]},"expires_in":300`, 300 * time.Second, true},
		{`,"token_type":null`, 0, false},
		{`,"token_type":""`, 0, false},
	} {
		grant, problem := parseGrant([]byte(`{"access_token":"a+/="` + test.fields + `}`))
		if problem != "" || grant.ExpiresIn != test.want || grant.ExpiryKnown != test.known || grant.AccessToken.Reveal() != "a+/=" {
			t.Errorf("%s: %s, %t, %q; want %s, %t", test.fields, grant.ExpiresIn, grant.ExpiryKnown, problem, test.want, test.known)
		}
	}
	for fields, want := range map[string]string{
		`"refresh_token":"r"`: "r", `"refresh_token":null`: "", `"refresh_token":""`: "", `"refresh_token":7`: "", `"refresh_token":"null"`: "", `"Refresh_Token":"r"`: "",
		`"refresh_token":"r","refresh_token":"s"`: "", `"refresh_token":"a\nb"`: "",
		`"refresh_token":"` + strings.Repeat("r", maxToken+1) + `"`: "",
	} {
		if grant, problem := parseGrant([]byte(`{"access_token":"a",` + fields + `}`)); problem != "" || grant.RefreshToken.Reveal() != want {
			t.Errorf("%s: %q, %q", fields[:min(len(fields), 40)], grant.RefreshToken.Reveal(), problem)
		}
	}
	if grant, problem := parseGrant([]byte("\xef\xbb\xbf" + `{"access_token":"a"}`)); problem != "" || grant.AccessToken.Reveal() != "a" {
		t.Errorf("after a byte-order mark: %q", problem)
	}
	for _, content := range []string{
		``, `null`, `"a"`, `[{"access_token":"a"}]`, `{}`, `{"access_token":null}`, `{"access_token":""}`, `{"access_token":7}`, `{"access_token":["a"]}`,
		`{"access_token":"a b"}`, `{"access_token":"a\u0000"}`, `{"access_token":"a\r\nX: y"}`, `{"access_token":"ä"}`, `{"access_token":"a`,
		`{"access_token":"a"} trailing`, `{"access_token":"a","token_type":"mac"}`, `{"access_token":"a","token_type":7}`, `{"access_token":"a",}`,
		`{"access_token":"` + strings.Repeat("a", maxToken+1) + `"}`, `{"error":"invalid_grant"}`,
		`{"Access_Token":"a"}`, `{"ACCESS_TOKEN":"a"}`, `{"access_token":"null"}`, `{"access_token":"undefined"}`, `{"access_token":"None"}`, `{"access_token":"NULL"}`,
		`{"access_token":" "}`, `{"access_token":"a","access_token":"b"}`, `{"access_token":null,"Access_Token":"a"}`,
	} {
		if grant, problem := parseGrant([]byte(content)); problem == "" || !grant.AccessToken.Empty() {
			t.Errorf("%s is taken for a grant", content[:min(len(content), 60)])
		}
	}
}

func TestErrorCode(t *testing.T) {
	for content, want := range map[string]string{
		`{"error":"invalid_grant","error_description":"x"}`: "invalid_grant", `{"error":"invalid_client"}`: "invalid_client",
		"\xef\xbb\xbf" + `{"error":"invalid_grant"}`: "invalid_grant", `{"error":"invalid_target"}`: "invalid_target",
		`{"ERROR":"invalid_grant"}`: "", `{"error":"invalid_grant","Error":"invalid_client"}`: "invalid_grant", `{"error":"invalid_grant","error":"invalid_grant"}`: "",
		`{"error":"INVALID_GRANT"}`: "", `{"error":"secret"}`: "", `{"error":{"code":"invalid_grant"}}`: "", `{"error":null}`: "", `{}`: "", ``: "",
		`invalid_grant`: "", `[{"error":"invalid_grant"}]`: "", `{"error":"invalid_grant"`: "",
	} {
		if got := ErrorCode([]byte(content)); got != want {
			t.Errorf("ErrorCode(%s) = %q, want %q", content, got, want)
		}
	}
}

func FuzzParseGrant(f *testing.F) {
	for _, seed := range []string{
		goodGrant, goodClient, ``, `{}`, `null`, `{"access_token":"a","expires_in":1e400}`, `{"access_token":"a","expires_in":"-1e99"}`,
		`{"access_token":"a","expires_in":"NaN","refresh_token":"r"}`, `{"access_token":"a\u0000"}`, `{"access_token":"\ud800"}`,
		`{"access_token":"a","token_type":"mac"}`, `{"ACCESS_TOKEN":"a","access_token":7}`, strings.Repeat(`{"a":`, 100), "\xef\xbb\xbf{}",
	} {
		f.Add([]byte(seed))
	}
	words := map[string]bool{"": true, "not a JSON object": true, "no usable access_token": true, "the token_type is not bearer": true}
	f.Fuzz(func(t *testing.T, content []byte) {
		grant, problem := parseGrant(content)
		if !words[problem] {
			t.Fatalf("%q is not of our own words", problem)
		}
		if (problem == "") != isToken(grant.AccessToken.Reveal()) {
			t.Fatalf("token %q with problem %q", grant.AccessToken.Reveal(), problem)
		}
		if grant.ExpiresIn > MaxLifetime || grant.ExpiresIn < -MaxLifetime || !grant.ExpiryKnown && grant.ExpiresIn != 0 {
			t.Fatalf("ExpiresIn %d, known %t", grant.ExpiresIn, grant.ExpiryKnown)
		}
		if !grant.RefreshToken.Empty() && !isToken(grant.RefreshToken.Reveal()) {
			t.Fatalf("refresh token %q", grant.RefreshToken.Reveal())
		}
	})
}

// FuzzErrorCode makes an error of any answer: its text is the same as that of an answer without body and headers, but for
// the known code and the vetted request id.
func FuzzErrorCode(f *testing.F) {
	f.Add(400, "application/json", []byte(`{"error":"invalid_grant"}`), "id-1", "7")
	f.Add(401, "text/html", []byte(`<html>`), "<b>", "")
	f.Add(404, "", []byte(`{"error":"nope","message":"m"}`), "", "")
	f.Add(503, "text/plain", []byte(`later`), strings.Repeat("x", 200), "Fri, 31 Dec 9999 23:59:59 GMT")
	f.Fuzz(func(t *testing.T, status int, contentType string, content []byte, id, after string) {
		got := &answer{Answer: transport.Answer{Status: status, Body: content, Header: map[string][]string{
			"Content-Type": {contentType}, "X-Request-Id": {id}, "Retry-After": {after},
		}}}
		failure := request{operation: OperationUser, refusals: refusals{unauthorized: TokenRejected, notFound: NotFound}}.judge(got, time.Unix(0, 0))
		if failure.RetryAfter < 0 || failure.RetryAfter > transport.MaxRetryAfter {
			t.Fatalf("RetryAfter %s", failure.RetryAfter)
		}
		if failure.RequestID != "" && (failure.RequestID != id || len(id) > 128 || strings.ContainsAny(id, " \r\n<>\"'/?&=%")) {
			t.Fatalf("request id %q", failure.RequestID)
		}
		want := "gini: " + OperationUser + ": " + meanings[failure.Kind]
		if failure.Detail != "" {
			want += ": " + failure.Detail
		}
		if status != 0 {
			want += " (status " + strconv.Itoa(status)
			for _, code := range knownCodes {
				if code == failure.Code {
					want += ", " + code
				}
			}
			if failure.RequestID != "" {
				want += ", request " + id
			}
			want += ")"
		}
		details := map[string]bool{"": true, "a redirect": true, "a web page": true, "404 from something else than the API": true}
		if failure.Error() != want || !details[failure.Detail] || meanings[failure.Kind] == "" {
			t.Fatalf("%q, want %q", failure.Error(), want)
		}
	})
}
