package main

import (
	"os"
	"regexp"
	"testing"
	"time"
)

// TestElection: unless told otherwise, a leader outlives an API server that is away for half a minute, and gives up before others may
// take its lease (R13.1).
func TestElection(t *testing.T) {
	o, err := parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	if o.leaseDuration != time.Minute || o.renewDeadline != 40*time.Second || o.retryPeriod != 2*time.Second {
		t.Errorf("a lease of %s, renewed within %s, and tried for every %s", o.leaseDuration, o.renewDeadline, o.retryPeriod)
	}
	if o.renewDeadline <= 30*time.Second || o.renewDeadline >= o.leaseDuration {
		t.Errorf("renewed within %s, of a lease of %s", o.renewDeadline, o.leaseDuration)
	}
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string]time.Duration{
		"leader-elect-lease-duration": o.leaseDuration, "leader-elect-renew-deadline": o.renewDeadline, "leader-elect-retry-period": o.retryPeriod,
	} {
		match := regexp.MustCompile("(?m)^\\| `--" + flag + "` \\| `([^`]+)` \\|").FindSubmatch(page)
		if match == nil {
			t.Errorf("README.md lacks the default of --%s", flag)
			continue
		}
		if told, err := time.ParseDuration(string(match[1])); err != nil || told != want {
			t.Errorf("README.md says %s of --%s, which is %s", match[1], flag, want)
		}
	}
}
