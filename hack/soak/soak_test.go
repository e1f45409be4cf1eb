package main

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

func TestOptions(t *testing.T) {
	get := func(env string) func(string) string {
		values := strings.Split(env, "|")
		return func(name string) string {
			return map[string]string{"KUBEBUILDER_ASSETS": values[0], "SOAK_DURATION": values[1], "SOAK_USERS": values[2], "SOAK_SEED": values[3]}[name]
		}
	}
	for env, want := range map[string]options{
		"/k8s|||7":       {assets: "/k8s", duration: 10 * time.Minute, users: 30, seed: 7},
		"/k8s|2m|24|0":   {assets: "/k8s", duration: 2 * time.Minute, users: 24},
		"/k8s|1h|300|99": {assets: "/k8s", duration: time.Hour, users: 300, seed: 99},
	} {
		if got, err := optionsOf(get(env), noon); err != nil || got != want {
			t.Errorf("%s: %+v, %v", env, got, err)
		}
	}
	drawn, err := optionsOf(get("/k8s|||"), noon.Add(time.Second))
	if other, _ := optionsOf(get("/k8s|||"), noon.Add(time.Minute)); err != nil || drawn.seed == other.seed {
		t.Errorf("%d and %d, %v", drawn.seed, other.seed, err)
	}
	for _, env := range []string{"|||", "/k8s|119s||", "/k8s|10||", "/k8s||23|", "/k8s||301|", "/k8s||x|", "/k8s|||-1"} {
		if _, err := optionsOf(get(env), noon); err == nil {
			t.Errorf("accepted: %s", env)
		}
	}
}

// TestPopulation: the fewest users are enough for every flow at every Gini, and for every kind of client.
func TestPopulation(t *testing.T) {
	ginis := newGinis()
	applications, users := populate(ginis, fewestUsers)
	if len(applications) != 2*len(ginis) || len(users) != fewestUsers {
		t.Fatalf("%d applications, %d users", len(applications), len(users))
	}
	met := map[string]bool{}
	for _, u := range users {
		met[string(u.application.gini.mode)+u.flow.name] = true
		if !slices.Contains(u.application.users, u) {
			t.Errorf("%s does not know %s", u.application.name, u.name)
		}
		wanted := 1
		if u.flow.trusted && u.flow.untrusted {
			wanted = 2
		}
		if len(u.devices) != wanted {
			t.Errorf("%s has %d devices", u.name, len(u.devices))
		}
		spec := u.object().Spec
		if (spec.Anonymous != nil) != u.flow.anonymous || (spec.Devices.Trusted != nil) != u.flow.trusted || (spec.Devices.Untrusted != nil) != u.flow.untrusted {
			t.Errorf("%s: %+v", u.name, spec)
		}
	}
	for _, mode := range []emulator.TokenMode{emulator.Fresh, emulator.Sticky, emulator.FreshEndsOld} {
		for _, f := range flows {
			if !met[string(mode)+f.name] {
				t.Errorf("no user of %s with %s tokens", f.name, mode)
			}
		}
	}
	for _, a := range applications {
		if len(a.users) < 4 {
			t.Errorf("%s has %d users", a.name, len(a.users))
		}
	}
}

func TestFaultCounts(t *testing.T) {
	c := faultCounts{byName: map[string]int{}}
	for _, f := range allFaults() {
		if c.byName[f.name] > 0 {
			t.Errorf("two faults are called %q", f.name)
		}
		c.add(f.name)
	}
	c.add("leader killed")
	all, kills, absent := c.total()
	if all != len(allFaults())+1 || kills != 3 || len(absent) != 0 {
		t.Errorf("%d, %d, %q", all, kills, absent)
	}
	delete(c.byName, "outage")
	if _, _, absent := c.total(); !slices.Equal(absent, []string{"outage"}) {
		t.Errorf("%q", absent)
	}
}

func TestBetween(t *testing.T) {
	one, other := rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(1, 2))
	for range 100 {
		d := between(one, time.Second, 2*time.Second)
		if d != between(other, time.Second, 2*time.Second) || d < time.Second || d >= 2*time.Second {
			t.Fatal(d)
		}
	}
}

func TestGrowth(t *testing.T) {
	var memory []sample
	for i := range 75 { // a second each: 25 of warm-up, then 100 bytes, then a little more
		bytes := int64(100)
		switch {
		case i < 25:
			bytes = 1
		case i >= 65:
			bytes = 109
		}
		if i%7 == 0 {
			bytes += 50 // a peak is no growth
		}
		memory = append(memory, sample{at: s(float64(i)), bytes: bytes})
	}
	percent, from, to, ok := grown(noon, memory)
	if !ok || from != 100 || to != 109 || percent != 9 {
		t.Errorf("%v from %d to %d, %v", percent, from, to, ok)
	}
	if _, _, _, ok := grown(noon, memory[:30]); ok {
		t.Error("a few seconds say how memory grows")
	}
	if _, _, _, ok := grown(noon, nil); ok {
		t.Error("nothing says how memory grows")
	}
}

func TestVerdict(t *testing.T) {
	good := verdict{users: 30, renewals: 900, faults: 60, kills: 10, leaderless: 45 * time.Second, longest: 6 * time.Second,
		growth: 4.4, grown: true, duration: 10 * time.Minute}
	if err := good.err(); err != nil {
		t.Error(err)
	}
	if got := good.summary(); got != "soak: users=30 renewals=900 faults=60 kills=10 leaderless=45s expired=0 orphaned=0 lost=0 missed=0 rss_growth=4%" {
		t.Error(got)
	}
	for want, change := range map[string]func(*verdict){
		"1 uses were refused":    func(v *verdict) { v.expired = 1 },
		"1 accounts and Secrets": func(v *verdict) { v.orphaned = 1 },
		"1 users have another":   func(v *verdict) { v.lost = 1 },
		"1 renewals or repairs":  func(v *verdict) { v.missed = 1 },
		"899 renewals are fewer": func(v *verdict) { v.renewals = 899 },
		"9 kills are fewer":      func(v *verdict) { v.kills = 9 },
		"never came: outage":     func(v *verdict) { v.absent = []string{"outage"} },
		"nobody led for 15.001s": func(v *verdict) { v.longest = leaderlessBound + time.Millisecond },
		"memory grew by 10.1 %":  func(v *verdict) { v.growth = 10.1 },
		"no process lived long":  func(v *verdict) { v.grown = false },
		"operator a ended":       func(v *verdict) { v.crashes = []string{"operator b ended", "operator a ended"} },
		"1 Secrets were renewed": func(v *verdict) { v.wasteful = 1 },
	} {
		bad := good
		change(&bad)
		if err := bad.err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v instead of %q", err, want)
		}
	}
}
