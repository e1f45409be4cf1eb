package transport

import (
	"io"
	"net/http"
	"strings"
)

// MaxBody bounds what is read of an answer, in bytes. A token's is under 1 KiB, and no other body is of interest.
const MaxBody = 64 << 10

// Answer is what came back, as far as it came.
type Answer struct {
	Status int // 0 where no answer came
	Header http.Header
	Body   []byte // MaxBody at most, without a Content-Encoding
	// Unreadable says in constant words why the body is of no use; empty where it is not.
	Unreadable string
}

// Exchange sends one request and reads its answer; a redirect is an answer like any other. Where the exchange breaks
// after the headers, the answer holds those, and what came of the body. The context of the request bounds all of it.
func Exchange(over http.RoundTripper, request *http.Request) (Answer, Failure) {
	var seen progress
	request.Header.Set("Accept-Encoding", "identity") // the body that comes is small, and read as it comes
	// The transport itself, not an http.Client: that would follow redirects, and quotes the URL in its errors.
	response, err := over.RoundTrip(request.WithContext(seen.trace(request.Context())))
	if err != nil {
		return Answer{}, seen.classify(err)
	}
	defer func() { _ = response.Body.Close() }()
	seen.multiplexed = response.ProtoMajor >= 2
	got := Answer{Status: response.StatusCode, Header: response.Header}
	// Read to its end, within bounds, even where it is of no interest: only then is the connection used again.
	got.Body, err = io.ReadAll(io.LimitReader(response.Body, MaxBody+1))
	if err != nil {
		return got, seen.classify(err)
	}
	if len(got.Body) <= MaxBody {
		got.Body, got.Unreadable = plain(got.Header, got.Body)
	}
	if len(got.Body) > MaxBody {
		got.Body, got.Unreadable = got.Body[:MaxBody], tooLarge
	}
	return got, Complete
}

// WebPage looks for what only people read. Nothing more is asked of a Content-Type: a token is a token.
func (a Answer) WebPage() bool {
	mediaType, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	return mediaType == "text/html" || mediaType == "application/xhtml+xml"
}
