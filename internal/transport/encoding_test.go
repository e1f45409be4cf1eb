package transport

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
	"testing"
)

func compressed(t *testing.T, content string, by func(io.Writer) io.WriteCloser) string {
	t.Helper()
	var buffer bytes.Buffer
	writer := by(&buffer)
	if _, err := io.WriteString(writer, content); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.String()
}

func gzipped(t *testing.T, content string) string {
	t.Helper()
	return compressed(t, content, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
}

// TestEncodings: what comes compressed though nobody asked for it is read, within the same bound, or told of.
func TestEncodings(t *testing.T) {
	const answer = `{"access_token":"a"}`
	bomb := gzipped(t, strings.Repeat("x", 100*MaxBody)) // whoever reads it to its end sees that it is cut
	deflated := compressed(t, answer, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
	for name, c := range map[string]struct {
		encoding   []string
		sent, body string
		unreadable string
	}{
		"none":               {nil, answer, answer, ""},
		"empty":              {[]string{""}, answer, answer, ""},
		"identity":           {[]string{"identity"}, answer, answer, ""},
		"gzip":               {[]string{"gzip"}, gzipped(t, answer), answer, ""},
		"gzip in capitals":   {[]string{" GZIP "}, gzipped(t, answer), answer, ""},
		"x-gzip":             {[]string{"x-gzip"}, gzipped(t, answer), answer, ""},
		"gzip and identity":  {[]string{"identity", "gzip"}, gzipped(t, answer), answer, ""},
		"deflate":            {[]string{"deflate"}, deflated, answer, ""},
		"nothing in gzip":    {[]string{"gzip"}, "", "", ""},
		"in br":              {[]string{"br"}, answer, "", unknownEncoding},
		"in zstd":            {[]string{"zstd"}, answer, "", unknownEncoding},
		"twice":              {[]string{"gzip, gzip"}, gzipped(t, gzipped(t, answer)), "", unknownEncoding},
		"in two headers":     {[]string{"gzip", "br"}, gzipped(t, answer), "", unknownEncoding},
		"no gzip":            {[]string{"gzip"}, answer, "", badEncoding},
		"no deflate":         {[]string{"deflate"}, answer, "", badEncoding},
		"cut":                {[]string{"gzip"}, gzipped(t, answer)[:20], "", badEncoding},
		"bomb":               {[]string{"gzip"}, bomb[:len(bomb)-20], strings.Repeat("x", MaxBody), tooLarge},
		"just not too large": {[]string{"gzip"}, gzipped(t, strings.Repeat("x", MaxBody)), strings.Repeat("x", MaxBody), ""},
	} {
		t.Run(name, func(t *testing.T) {
			var asked http.Header
			server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = r.Header
				w.Header()["Content-Encoding"] = c.encoding
				_, _ = io.WriteString(w, c.sent)
			}))
			got, broken := get(bounded(t), t, made(t, Config{}), server.URL)
			if broken != Complete || string(got.Body) != c.body || got.Unreadable != c.unreadable {
				t.Errorf("%q, %.40q, %q; want %.40q, %q", broken, got.Body, got.Unreadable, c.body, c.unreadable)
			}
			if accepted := asked.Values("Accept-Encoding"); len(accepted) != 1 || accepted[0] != "identity" {
				t.Errorf("asked for %q", accepted)
			}
		})
	}
}
