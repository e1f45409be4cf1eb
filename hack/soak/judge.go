package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// judgement is what uses and renewals came to.
type judgement struct {
	uses, renewals int
	// expired are the uses that were refused, and missed the renewals that came too late, without excuse, and wasteful the devices that were
	// renewed more often than their credentials can have been due, which is most for all of them; findings tells of each.
	expired, missed, wasteful, most int
	findings                        []finding
	// excusedUses and excusedRenewals are the others, by cause.
	excusedUses, excusedRenewals map[cause]int
}

// finding is one thing that must not happen: seen at an instant, and begun at another one.
type finding struct {
	from time.Time
	at   time.Time
	text string
}

// judge looks at all that the devices and the Ginis have noted.
func judge(ginis []*gini, x *excuses, begin, end time.Time) *judgement {
	x.conclude(end)
	j := &judgement{excusedUses: map[cause]int{}, excusedRenewals: map[cause]int{}}
	for _, g := range ginis {
		lists := map[*device]spans{}
		for _, a := range g.applications {
			for _, u := range a.users {
				for _, d := range u.devices {
					lists[d] = x.of(d)
					uses, renewals := d.counts()
					j.uses, j.renewals = j.uses+uses, j.renewals+renewals
					j.judgeRenewals(d, renewals, begin, end)
					j.judgeDelays(d, lists[d], end)
				}
			}
		}
		for _, r := range g.refused {
			j.judgeUse(g, r, lists[r.device])
		}
	}
	slices.SortStableFunc(j.findings, func(a, b finding) int { return a.at.Compare(b.at) })
	return j
}

func (j *judgement) judgeRenewals(d *device, renewals int, begin, end time.Time) {
	most := d.mostRenewals(end.Sub(begin))
	j.most += most
	if renewals <= most {
		return
	}
	j.wasteful++
	j.findings = append(j.findings, finding{begin, end, fmt.Sprintf("%s was renewed %d times, and can have been due %d times", d, renewals, most)})
}

func (j *judgement) judgeUse(g *gini, r refusal, list spans) {
	end, expired := g.ends[r.token]
	c := list.at(r.at)
	switch {
	case c != "":
	case expired && g.mode == emulator.Sticky && r.device.kind == byToken && r.at.Sub(end) < stickyGap:
		c = sticky
	case !expired && r.device.kind == byToken && g.superseded(r):
		c = superseded
	}
	if c != "" {
		j.excusedUses[c]++
		return
	}
	j.expired++
	why, began := "which Gini does not take", r.at
	if expired {
		began = end
		why = fmt.Sprintf("which expired %s before", r.at.Sub(end).Round(time.Millisecond))
	}
	j.findings = append(j.findings, finding{began, r.at, fmt.Sprintf("%s was used with %s, %s: status %d",
		r.device, cmp.Or(r.token, "client credentials"), why, r.status)})
}

func (j *judgement) judgeDelays(d *device, list spans, end time.Time) {
	for _, late := range d.concluded(end) {
		if !late.done.After(late.due.Add(late.allowed)) {
			continue
		}
		c, excused := list.between(late.due, late.done, late.allowed)
		if excused {
			j.excusedRenewals[c]++
			continue
		}
		j.missed++
		j.findings = append(j.findings, finding{late.due, late.done, fmt.Sprintf("%s %s for %s, which may take %s",
			d, late.what, late.done.Sub(late.due).Round(time.Millisecond), late.allowed.Round(time.Millisecond))})
	}
}

// tell is a list of counts.
func tell(counts map[cause]int) string {
	if len(counts) == 0 {
		return "none"
	}
	var parts []string
	for _, c := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", c, counts[c]))
	}
	return strings.Join(parts, ", ")
}
