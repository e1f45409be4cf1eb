package main

import (
	"fmt"
	"strings"
	"time"
)

// verdict is what the demo came to.
type verdict struct {
	// samples and anonymous are how many users the samples have, and how many of them are anonymous.
	samples, anonymous int
	// users and ready are from the cluster, everything else from the emulator.
	users, ready, accounts int
	total                  record
	missing                []string
	sticky                 bool
}

// summary is the last line.
func (v verdict) summary() string {
	line := fmt.Sprintf("demo: users=%d ready=%d renewals=%d uses=%d refused=%d expired=%d accounts=%d",
		v.users, v.ready, v.total.renewals, v.total.uses, v.total.refused, v.total.expired, v.accounts)
	if v.sticky {
		line += fmt.Sprintf(" gap=%d", v.total.gaps)
	}
	return line
}

// err says all that is not as it must be.
func (v verdict) err() error {
	wrong := v.missing
	check := func(fine bool, format string, args ...any) {
		if !fine {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	check(v.users == v.samples, "the samples have %d users, the cluster has %d", v.samples, v.users)
	check(v.ready == v.users, "of %d users, %d are Ready", v.users, v.ready)
	check(v.accounts == v.anonymous, "%d anonymous users have %d accounts at Gini", v.anonymous, v.accounts)
	check(v.total.refused == 0, "%d uses were refused, of which %d were of a token that had expired", v.total.refused, v.total.expired)
	check(v.total.worst < gapBound, "a device was without a valid token for %s, which must be under %s",
		v.total.worst.Round(time.Millisecond), gapBound)
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("not all is as it must be:\n  - %s", strings.Join(wrong, "\n  - "))
}
