package emulator

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// Kind is what kind of answer an [Effect] gives.
type Kind string

// The kinds of effects.
const (
	// KindNone is Gini's own answer: for latency alone. The default.
	KindNone Kind = "none"
	// KindStatus is Effect.Status with Effect.Body, or with an error body in the host's own form where Body is empty.
	KindStatus Kind = "status"
	// KindHang answers nothing until the client goes away or Release or Reset is called, then as Gini would.
	KindHang Kind = "hang"
	// KindCutHeader closes the connection before the first byte of the answer.
	KindCutHeader Kind = "cut_header"
	// KindCutBody closes the connection in the middle of the body.
	KindCutBody Kind = "cut_body"
	// KindBrokenJSON is a 200 with JSON that ends too early.
	KindBrokenJSON Kind = "broken_json"
	// KindHTML is a 200 with an HTML page, as of a captive proxy.
	KindHTML Kind = "html"
	// KindOversized is a 200 with valid JSON of Effect.Size bytes.
	KindOversized Kind = "oversized"
	// KindRedirect is Effect.Status (default 302) to Effect.RedirectTo.
	KindRedirect Kind = "redirect"
	// KindEmptyBody is Effect.Status (default 200) without a body.
	KindEmptyBody Kind = "empty_body"
)

// defaultOversize is more than anybody should read into memory as a token answer.
const defaultOversize = 64 << 20

// Effect is what a fault does. The functions [Status], [TooManyRequests], [Hang] and so on make the usual ones.
type Effect struct {
	// Kind defaults to KindStatus where Status is set, else to KindNone.
	Kind Kind `json:"kind,omitempty"`
	// Latency passes, by the real clock, before the request takes effect; LatencyAfter afterwards, before it is answered.
	Latency      time.Duration `json:"latency,omitempty"`
	LatencyAfter time.Duration `json:"latency_after,omitempty"`
	// TakesEffect lets the request be carried out although its answer is replaced: the account exists, the token was issued, and the
	// client does not know. By default the request comes to nothing.
	TakesEffect bool `json:"takes_effect,omitempty"`

	Status int `json:"status,omitempty"`
	// Header is added to the answer of any kind that has one.
	Header map[string]string `json:"header,omitempty"`
	// RetryAfterDate writes Retry-After as an HTTP date that lies so far in the emulator's future. For seconds, use Header.
	RetryAfterDate time.Duration `json:"retry_after_date,omitempty"`
	// Body and ContentType (default text/plain) are those of KindStatus. The marker is appended.
	Body        string `json:"body,omitempty"`
	ContentType string `json:"content_type,omitempty"`
	// Size is that of KindOversized in bytes; default 64 MiB.
	Size int64 `json:"size,omitempty"`
	// RedirectTo is the Location of KindRedirect.
	RedirectTo string `json:"redirect_to,omitempty"`
}

// Latency delays Gini's own answer.
func Latency(d time.Duration) Effect { return Effect{Latency: d} }

// Status answers with a status and a plain text, or with the host's own kind of error where body is empty.
func Status(status int, body string) Effect {
	return Effect{Kind: KindStatus, Status: status, Body: body}
}

// TooManyRequests is 429 with Retry-After in seconds, rounded up; without the header if retryAfter is 0.
func TooManyRequests(retryAfter time.Duration) Effect {
	return Status(http.StatusTooManyRequests, "").WithRetryAfter(retryAfter)
}

// TooManyRequestsUntil is 429 with Retry-After as an HTTP date, so far ahead of the emulator's clock.
func TooManyRequestsUntil(ahead time.Duration) Effect {
	e := Status(http.StatusTooManyRequests, "")
	e.RetryAfterDate = ahead
	return e
}

// Unavailable is 503 with plain text, as Gini has it.
func Unavailable() Effect {
	return Status(http.StatusServiceUnavailable, "Service temporarily unavailable, try again later.")
}

// Hang never answers, see KindHang.
func Hang() Effect { return Effect{Kind: KindHang} }

// CutBeforeHeader closes the connection without an answer.
func CutBeforeHeader() Effect { return Effect{Kind: KindCutHeader} }

// CutMidBody closes the connection halfway through the answer.
func CutMidBody() Effect { return Effect{Kind: KindCutBody} }

// BrokenJSON ends the JSON too early.
func BrokenJSON() Effect { return Effect{Kind: KindBrokenJSON} }

// HTML answers 200 with a page.
func HTML() Effect { return Effect{Kind: KindHTML} }

// Oversized answers 200 with so many bytes of JSON.
func Oversized(size int64) Effect { return Effect{Kind: KindOversized, Size: size} }

// Redirect answers status, such as 302 or 307, to a URL.
func Redirect(status int, url string) Effect {
	return Effect{Kind: KindRedirect, Status: status, RedirectTo: url}
}

// EmptyBody answers status without a body.
func EmptyBody(status int) Effect { return Effect{Kind: KindEmptyBody, Status: status} }

// WithRetryAfter is the effect with Retry-After in seconds, rounded up; without the header if retryAfter is 0.
func (e Effect) WithRetryAfter(retryAfter time.Duration) Effect {
	e.Header = maps.Clone(e.Header)
	delete(e.Header, "Retry-After")
	if retryAfter > 0 {
		if e.Header == nil {
			e.Header = map[string]string{}
		}
		e.Header["Retry-After"] = fmt.Sprint(int64((retryAfter + time.Second - 1) / time.Second))
	}
	return e
}

// AfterTakingEffect is the effect with the request carried out first: the answer alone is lost.
func (e Effect) AfterTakingEffect() Effect {
	e.TakesEffect = true
	return e
}

func (e *Effect) kind() Kind {
	switch {
	case e.Kind != "":
		return e.Kind
	case e.Status != 0:
		return KindStatus
	}
	return KindNone
}

func (e *Effect) validate() error {
	if kinds := []Kind{KindNone, KindStatus, KindHang, KindCutHeader, KindCutBody, KindBrokenJSON, KindHTML, KindOversized, KindRedirect,
		KindEmptyBody}; !slices.Contains(kinds, e.kind()) {
		return fmt.Errorf("kind: %q is none of %q", e.Kind, kinds)
	}
	if e.Status != 0 && (e.Status < 200 || e.Status > 599) {
		return fmt.Errorf("status: %d is not between 200 and 599", e.Status)
	}
	if e.kind() == KindStatus && e.Status == 0 {
		return fmt.Errorf("status: needed for kind status")
	}
	return nil
}

// MarshalJSON writes durations as strings.
func (e Effect) MarshalJSON() ([]byte, error) { return marshal(e.jsonForm()) }

// UnmarshalJSON refuses unknown names and values.
func (e *Effect) UnmarshalJSON(data []byte) error {
	if err := unmarshalStrict(data, e.jsonForm()); err != nil {
		return err
	}
	return e.validate()
}

type plainEffect Effect

func (e *Effect) jsonForm() any {
	return &struct {
		*plainEffect
		Latency        *durationText `json:"latency"`
		LatencyAfter   *durationText `json:"latency_after"`
		RetryAfterDate *durationText `json:"retry_after_date"`
	}{(*plainEffect)(e), (*durationText)(&e.Latency), (*durationText)(&e.LatencyAfter), (*durationText)(&e.RetryAfterDate)}
}
