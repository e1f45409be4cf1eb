package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const (
	// leaderlessBound is how long nobody may lead at one time: the lease of 3 s, a try to get it every second, and a start of a process on a
	// busy machine. Time without an API server does not count.
	leaderlessBound = 15 * time.Second
	// growthBound is by how many percent resident memory may grow.
	growthBound = 10
	// toldFindings is how many findings are told in full.
	toldFindings = 100
)

// verdict is what the soak came to.
type verdict struct {
	users, renewals, faults, kills  int
	leaderless, longest             time.Duration
	expired, orphaned, lost, missed int
	growth                          float64
	grown                           bool // whether growth could be measured
	duration                        time.Duration
	absent                          []string // kinds of faults that never came
	crashes                         []string
	wasteful                        int // devices that were renewed too often
}

// summary is the last line.
func (v *verdict) summary() string {
	return fmt.Sprintf("soak: users=%d renewals=%d faults=%d kills=%d leaderless=%.0fs expired=%d orphaned=%d lost=%d missed=%d rss_growth=%.0f%%",
		v.users, v.renewals, v.faults, v.kills, v.leaderless.Seconds(), v.expired, v.orphaned, v.lost, v.missed, v.growth)
}

// err says all that is not as it must be.
func (v *verdict) err() error {
	var wrong []string
	check := func(fine bool, format string, args ...any) {
		if !fine {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	check(v.expired == 0, "%d uses were refused for which there is no excuse", v.expired)
	check(v.orphaned == 0, "%d accounts and Secrets are nobody's", v.orphaned)
	check(v.lost == 0, "%d users have another account than before", v.lost)
	check(v.missed == 0, "%d renewals or repairs came too late", v.missed)
	least := float64(v.users) * v.duration.Seconds() / 20
	check(float64(v.renewals) >= least, "%d renewals are fewer than %.0f", v.renewals, least)
	check(v.wasteful == 0, "%d Secrets were renewed more often than they can have been due", v.wasteful)
	check(float64(v.kills) >= v.duration.Minutes(), "%d kills are fewer than one a minute", v.kills)
	check(len(v.absent) == 0, "these faults never came: %s", strings.Join(v.absent, ", "))
	check(v.longest <= leaderlessBound, "nobody led for %s at one time, which must be at most %s", v.longest.Round(time.Millisecond), leaderlessBound)
	check(v.grown, "no process lived long enough, or its memory cannot be read (it can on Linux), to say how it grew")
	check(!v.grown || v.growth <= growthBound, "resident memory grew by %.1f %%, which must be at most %d %%", v.growth, growthBound)
	for _, crash := range v.crashes {
		check(false, "%s", crash)
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("not all is as it must be:\n  - %s", strings.Join(wrong, "\n  - "))
}

// conclude looks at the cluster and at all that was noted.
func (s *soak) conclude(ctx context.Context, before map[*user]string, begin, end time.Time) (*verdict, error) {
	j := judge(s.ginis, s.excuses, begin, end)
	v := &verdict{
		users: len(s.users), renewals: j.renewals, expired: j.expired, missed: j.missed, wasteful: j.wasteful, duration: end.Sub(begin),
	}
	v.faults, v.kills, v.absent = s.faults.total()
	var of string
	v.growth, of, v.grown = s.operators.growth()
	s.operators.mu.Lock()
	v.leaderless, v.longest = s.operators.leaderless(end)
	v.crashes = slices.Clone(s.operators.crashes)
	leaders, exits := s.operators.leaders, s.operators.exits
	looks, slow, worst := s.operators.looks, len(s.operators.slow), s.operators.worst
	s.operators.mu.Unlock()

	s.out.Say("%d uses were accepted; refused, and excused by: %s", j.uses, tell(j.excusedUses))
	s.out.Say("%d renewals, of at most %d that can have been due", j.renewals, j.most)
	s.out.Say("late renewals and repairs, excused by: %s", tell(j.excusedRenewals))
	s.out.Say("%d times a process came to lead; the longest time without a leader, but with an API server, was %.1f s; processes ended by themselves %d times",
		leaders, v.longest.Seconds(), exits)
	s.out.Say("memory of %s", of)
	s.out.Say("the lease was read %d times; that took longer than %s %d times, and %s at most", looks, slowLook, slow, worst.Round(time.Millisecond))
	excusable := 0
	for i, f := range j.findings {
		if i == toldFindings {
			s.out.Say("... and %d more", len(j.findings)-i)
			break
		}
		note := ""
		if s.operators.busy(f.from, f.at) {
			note = " (the machine was busy)"
			excusable++
		}
		s.out.Say("FOUND at %.1f s: %s%s", f.at.Sub(s.out.Start()).Seconds(), f.text, note)
	}
	if excusable > 0 {
		s.out.Say("%d of these came within %s of a slow answer of the API server: the machine was too busy, and they say little of the operator",
			excusable, busyFor)
	}
	after, err := s.accounts(ctx)
	if err != nil {
		return v, err
	}
	for _, g := range s.ginis {
		ledger := g.server.Ledger()
		for _, problem := range accountsLost(g, &ledger, before, after, s.deleted) {
			v.lost++
			s.out.Say("FOUND: %s", problem)
		}
	}
	s.out.Say("%d users have another account because theirs was deleted", len(s.deleted))
	v.orphaned, err = s.orphans(ctx, after)
	return v, err
}

// accountsLost says which users of a Gini have another account than they must: the one that they had before, and where that was deleted, the
// one that was made after the last that was deleted. For all of them, Gini has made one account, and one more for each that was deleted.
func accountsLost(g *gini, ledger *emulator.Ledger, before, after map[*user]string, deleted map[*user][]string) (problems []string) {
	made := map[string]emulator.Account{}
	for _, account := range slices.Concat(ledger.DeletedAccounts, ledger.Existing) {
		made[account.ID] = account
	}
	found := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, a := range g.applications {
		wanted, got, gone := 0, 0, 0
		for _, account := range made {
			if account.ClientID == a.clientID {
				got++
			}
		}
		for _, u := range a.users {
			if !u.flow.anonymous {
				continue
			}
			had := append(slices.Clone(deleted[u]), after[u])
			wanted, gone = wanted+len(had), gone+len(deleted[u])
			now := made[after[u]]
			switch {
			case had[0] != before[u]:
				found("%s had the account %q at first, and then %q", u.name, before[u], had[0])
			case now.ClientID != a.clientID || !now.Deleted.IsZero():
				found("%s has the account %q, which Gini %q does not have for %s", u.name, after[u], g.name, a.clientID)
			case len(had) > 1 && !now.Created.After(made[had[len(had)-2]].Deleted):
				found("%s has the account %q, which was there before its former one was deleted", u.name, after[u])
			}
		}
		if got != wanted {
			found("Gini %q has made %d accounts for %s: its users, of whose accounts %d were deleted, need %d", g.name, got, a.clientID, gone, wanted)
		}
	}
	return problems
}

// accounts are the ids of the accounts of anonymous users, by what the operator says in their status.
func (s *soak) accounts(ctx context.Context) (map[*user]string, error) {
	accounts := map[*user]string{}
	for _, u := range s.users {
		if !u.flow.anonymous {
			continue
		}
		object := u.object()
		if err := s.cluster.Client.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return nil, err
		}
		accounts[u] = object.Status.UserID
	}
	return accounts, nil
}

// orphans counts accounts at the Ginis that no user has, and Secrets of the operator's that belong to nobody.
func (s *soak) orphans(ctx context.Context, accounts map[*user]string) (n int, err error) {
	for _, g := range s.ginis {
		for _, account := range g.server.Ledger().Accounts() {
			owned := false
			for u, id := range accounts {
				owned = owned || id == account.ID && u.application.clientID == account.ClientID
			}
			if !owned {
				n++
				s.out.Say("FOUND: the account %s at Gini %q, of client %s, made %.1f s into the run, is nobody's",
					account.ID, g.name, account.ClientID, account.Created.Sub(s.out.Start()).Seconds())
			}
		}
	}
	var list api.GiniUserList
	if err := s.cluster.Client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return n, err
	}
	alive := map[types.UID]bool{}
	for i := range list.Items {
		alive[list.Items[i].UID] = true
	}
	var secrets corev1.SecretList
	if err := s.cluster.Client.List(ctx, &secrets, client.InNamespace(namespace), client.MatchingLabels{api.ManagedByLabel: api.ManagedByValue}); err != nil {
		return n, err
	}
	wanted := s.secretsWanted()
	for i := range secrets.Items {
		secret := &secrets.Items[i]
		owner := metav1.GetControllerOf(secret)
		if !slices.Contains(wanted, secret.Name) || owner != nil && owner.Kind == "GiniUser" && !alive[owner.UID] {
			n++
			s.out.Say("FOUND: the Secret %s is nobody's", secret.Name)
		}
	}
	return n, nil
}

// secretsWanted are the names of all Secrets that the operator should have made.
func (s *soak) secretsWanted() (names []string) {
	for _, a := range s.applications {
		names = append(names, a.keySecret())
	}
	for _, u := range s.users {
		if u.managed() {
			names = append(names, u.accountSecret())
		}
		for _, d := range u.devices {
			names = append(names, d.secret)
		}
	}
	return names
}
