package delivery

import (
	"slices"
	"time"
)

// Settle is how long to wait after a Secret has changed until the pods are nudged: the kubelet hears of the Secret on another connection
// than of the pod, and would look too early.
const Settle = time.Second

// Nudge decides whether a pod is to be nudged for the credentials that it mounts, and with what value of its annotation. before is the
// value that it has, created when the pod was: what came before that it has seen from the first.
func Nudge(before string, created time.Time, credentials []Credential, now time.Time) (value string, needed bool) {
	known, sum := parseMark(before), sumOf(credentials)
	if len(credentials) == 0 || known.sum == sum {
		return before, false
	}
	since := known.since(created, now)
	if !slices.ContainsFunc(credentials, func(c Credential) bool { return c.changedSince(since) }) {
		return before, false // it mounts others than then, and has seen them
	}
	return mark{at: now, sum: sum}.String(), true
}
