package transport

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxRetryAfter caps RetryAfter.
const MaxRetryAfter = time.Hour

// RetryAfter is how long the host asks to be left alone: 0, where it does not say, to MaxRetryAfter.
func (a Answer) RetryAfter(now time.Time) time.Duration {
	return retryAfter(a.Header.Get("Retry-After"), a.Header.Get("Date"), now)
}

// retryAfter reads a Retry-After of seconds or of a date (RFC 9110, 10.2.3): 0 to an hour. A date is compared with the
// answer's own Date, as the two clocks need not agree; with ours only where there is none.
func retryAfter(value, date string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) { // out of range: the nearest int64
		return time.Duration(min(max(seconds, 0), int64(MaxRetryAfter/time.Second))) * time.Second
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if sent, err := http.ParseTime(date); err == nil {
		now = sent
	}
	return min(max(until.Sub(now), 0), MaxRetryAfter)
}
