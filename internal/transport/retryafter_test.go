package transport

import (
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	const date = "Tue, 24 Nov 2026 15:00:00 GMT" // Gini's clock is three hours ahead
	for _, test := range []struct {
		value, date string
		want        time.Duration
	}{
		{"", "", 0}, {"7", "", 7 * time.Second}, {" 7 ", "", 7 * time.Second}, {"0", "", 0}, {"-7", "", 0}, {"3600", "", time.Hour}, {"3601", "", time.Hour},
		{"99999999999999999999", "", time.Hour}, {"-99999999999999999999", "", 0}, {"1.5", "", 0}, {"soon", "", 0},
		{"Tue, 24 Nov 2026 12:01:00 GMT", "", time.Minute},
		{"Tue, 24 Nov 2026 15:01:00 GMT", date, time.Minute},
		{"Tue, 24 Nov 2026 15:01:00 GMT", "yesterday", time.Hour},
		{"Tue, 24 Nov 2026 11:59:00 GMT", "", 0},
		{"Tuesday, 24-Nov-26 12:01:00 GMT", "", time.Minute},
		{"Fri, 31 Dec 9999 23:59:59 GMT", "", time.Hour},
		{"Mon, 01 Jan 0001 00:00:00 GMT", "", 0},
	} {
		if got := retryAfter(test.value, test.date, now); got != test.want {
			t.Errorf("retryAfter(%q, %q) = %s, want %s", test.value, test.date, got, test.want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("7", "", int64(0))
	f.Add("-7", "x", int64(1))
	f.Add("99999999999999999999", "", int64(-1))
	f.Add("Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", int64(1<<40))
	f.Add("Tue, 24 Nov 2026 15:01:00 GMT", "Tue, 24 Nov 2026 15:00:00 GMT", int64(0))
	f.Fuzz(func(t *testing.T, value, date string, now int64) {
		if got := retryAfter(value, date, time.Unix(now, 0)); got < 0 || got > MaxRetryAfter {
			t.Fatalf("retryAfter(%q, %q) = %s", value, date, got)
		}
	})
}
