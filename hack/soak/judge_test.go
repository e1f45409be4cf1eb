package main

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// world is a Gini with one user of each kind of device.
func world(mode emulator.TokenMode) (g *gini, basic, jwt, token *device) {
	for _, each := range newGinis() {
		if each.mode == mode {
			g = each
		}
	}
	a := &application{name: "acme", clientID: "acme", gini: g}
	g.applications = []*application{a}
	add := func(f flow, k kind) *device {
		u := &user{name: f.name, application: a, flow: f}
		d := &device{user: u, kind: k, secret: f.name}
		u.devices, a.users = []*device{d}, append(a.users, u)
		return d
	}
	return g, add(flows[0], byCredentials), add(flows[3], byJWT), add(flows[1], byToken)
}

// ledgerOf is a ledger of calls.
func ledgerOf(calls ...emulator.Call) *emulator.Ledger {
	for i := range calls {
		calls[i].Sequence, calls[i].Done, calls[i].ClientID = i+1, true, "acme"
	}
	return &emulator.Ledger{Calls: calls}
}

func used(at float64, token, user string, status int) emulator.Call {
	return emulator.Call{Time: s(at), Operation: emulator.Documents, Token: token, User: user, Status: status}
}

func loggedIn(at float64, user string, status int) emulator.Call {
	return emulator.Call{Time: s(at), Operation: emulator.Login, User: user, Status: status}
}

func TestJudgeUses(t *testing.T) {
	g, basic, jwt, token := world(emulator.FreshEndsOld)
	for fingerprint, d := range map[string]*device{"j1": jwt, "a": token, "b": token, "c": token} {
		g.holds(fingerprint, d)
	}
	id := token.user.identifier()
	ledger := ledgerOf(
		used(1, "", basic.user.identifier(), 200),
		used(1, "a", id, 200), used(2, "a", id, 200),
		loggedIn(3, id, 200), used(3.5, "a", id, 401), // superseded
		used(4, "b", id, 200), // a renewal
		used(6, "a", id, 401), // too long after the login
		used(7, "j1", "", 401), used(8, "", basic.user.identifier(), 401), used(9, "b", id, 0),
		used(11, "b", id, 401), // while nobody leads
	)
	ledger.ExpiredUseList = []emulator.ExpiredUse{{Token: "j1", Expired: s(5)}}
	late := loggedIn(12.5, id, 200) // a token that expired is not excused by a login that came after it
	late.Sequence, late.Done, late.ClientID = len(ledger.Calls)+1, true, "acme"
	expired := used(13, "c", id, 401)
	expired.Sequence, expired.Done, expired.ClientID = len(ledger.Calls)+2, true, "acme"
	ledger.Calls = append(ledger.Calls, late, expired)
	ledger.ExpiredUseList = append(ledger.ExpiredUseList, emulator.ExpiredUse{Token: "c", Expired: s(12.4)})
	for range 2 { // what has been read is not counted again
		if err := g.readLedger(ledger); err != nil {
			t.Fatal(err)
		}
	}
	var x excuses
	x.begin(excuse{cause: leaderless}, s(10))(s(12))
	j := judge([]*gini{g}, &x, noon, s(14))
	if j.uses != 4 || j.renewals != 1 || j.expired != 4 || j.missed != 0 || j.excusedUses[superseded] != 1 || j.excusedUses[leaderless] != 1 {
		t.Errorf("%+v", j)
	}
	var told []string
	for _, f := range j.findings {
		told = append(told, f.text)
	}
	for _, want := range []string{"used with a, which Gini does not take", "j1, which expired 2s before", "client credentials, which Gini does not take"} {
		if !strings.Contains(strings.Join(told, "\n"), want) {
			t.Errorf("%q lacks %q", told, want)
		}
	}
	if got := tell(j.excusedUses); got != "leaderless 1, superseded 1" {
		t.Error(got)
	}
}

// TestJudgeSticky: a sticky token may be used a little after its end, and nothing else may.
func TestJudgeSticky(t *testing.T) {
	for _, tt := range []struct {
		mode    emulator.TokenMode
		jwt     bool
		at      time.Duration
		excused bool
	}{
		{emulator.Sticky, false, stickyGap - time.Millisecond, true},
		{emulator.Sticky, false, stickyGap, false},
		{emulator.Sticky, true, time.Millisecond, false},
		{emulator.Fresh, false, time.Millisecond, false},
	} {
		g, _, jwt, token := world(tt.mode)
		d := token
		if tt.jwt {
			d = jwt
		}
		g.holds("a", d)
		ledger := ledgerOf(used(5+tt.at.Seconds(), "a", "", 401))
		ledger.ExpiredUseList = []emulator.ExpiredUse{{Token: "a", Expired: s(5)}}
		if err := g.readLedger(ledger); err != nil {
			t.Fatal(err)
		}
		j := judge([]*gini{g}, &excuses{}, noon, s(20))
		if excused := j.excusedUses[sticky] == 1; excused != tt.excused || (j.expired == 0) != tt.excused {
			t.Errorf("%+v: %+v", tt, j)
		}
	}
}

func TestLedgerIsReadInOrder(t *testing.T) {
	g, _, _, token := world(emulator.Fresh)
	g.holds("a", token)
	ledger := ledgerOf(used(1, "a", "", 200), used(2, "a", "", 0), used(3, "a", "", 200))
	ledger.Calls[1].Done = false
	if err := g.readLedger(ledger); err != nil || token.uses != 1 {
		t.Errorf("%v, %d uses", err, token.uses)
	}
	ledger.Calls[1].Done = true
	if err := g.readLedger(ledger); err != nil || token.uses != 2 {
		t.Errorf("%v, %d uses", err, token.uses)
	}
	if err := g.readLedger(&emulator.Ledger{Calls: []emulator.Call{{Sequence: 9, Done: true}}}); err == nil {
		t.Error("calls that were dropped are not noticed")
	}
	if err := g.readLedger(&emulator.Ledger{Calls: []emulator.Call{{Sequence: 4, Done: true, Operation: emulator.Documents, Token: "x", Status: 200}}}); err == nil {
		t.Error("a use by nobody is not noticed")
	}
}

// TestFirstAnswer: an outage is over for a lane with the first request that is answered as asked.
func TestFirstAnswer(t *testing.T) {
	g, basic, jwt, token := world(emulator.Fresh)
	failed, tampered := loggedIn(3, "x", 500), loggedIn(4, "x", 200)
	tampered.Fault = "slow"
	elsewhere := loggedIn(4.5, "x", 200)
	elsewhere.Operation = emulator.PasswordLogin
	if err := g.readLedger(ledgerOf(loggedIn(1, "x", 200), failed, tampered, elsewhere, loggedIn(5, "x", 200))); err != nil {
		t.Fatal(err)
	}
	answered := answeredWithin(10 * time.Second)
	for _, tt := range []struct {
		d           *device
		ended, want float64
	}{
		{token, 0.5, 1}, {token, 2, 5}, {token, 6, 16}, {basic, 2, 2}, {jwt, 2, 2},
	} {
		if got := answered(tt.d, s(tt.ended)); !got.Equal(s(tt.want)) {
			t.Errorf("%s, %v: %s", tt.d, tt.ended, got.Sub(noon))
		}
	}
	if got := answeredWithin(2*time.Second)(token, s(2)); !got.Equal(s(4)) {
		t.Errorf("an answer that came too late counts: %s", got.Sub(noon))
	}
}

func TestJudgeDelays(t *testing.T) {
	g, basic, _, token := world(emulator.Fresh)
	lives := func(fingerprint string, from float64) life {
		return life{fingerprint: fingerprint, obtained: s(from), refreshAt: s(from + 3), expiresAt: s(from + 9)}
	}
	token.saw(lives("a", 0), s(1))
	token.saw(lives("b", 5.9), s(8)) // seen late, renewed in time
	token.saw(lives("c", 12), s(12)) // 0.1 s late
	token.absent(s(13))
	token.absent(s(14))
	token.saw(lives("c", 12), s(18)) // 5 s
	token.absent(s(18.5))
	token.absent(s(20))                // still
	token.saw(lives("d", 20), s(23.6)) // 5.1 s, and two seconds late
	basic.saw(life{fingerprint: "x"}, s(1))
	basic.saw(life{fingerprint: "y"}, s(9)) // nothing that expires
	j := judge([]*gini{g}, &excuses{}, noon, s(25))
	if j.missed != 3 || j.expired != 0 {
		t.Errorf("%+v", j)
	}
	for i, want := range []string{"is not renewed for 3.1s, which may take 3s", "is not renewed for 5s", "is absent for 5.1s"} {
		if !strings.Contains(j.findings[i].text, want) {
			t.Errorf("%q instead of %q", j.findings[i].text, want)
		}
	}
	excused := &excuses{}
	excused.begin(excuse{cause: outage}, s(12))(s(19))
	if j := judge([]*gini{g}, excused, noon, s(26)); j.missed != 1 || j.excusedRenewals[outage] != 2 {
		t.Errorf("%+v", j)
	}
}

// TestLastToken: what is held at the end is late too, if nobody has renewed it by then.
func TestLastToken(t *testing.T) {
	for end, missed := range map[float64]int{5.9: 0, 6.1: 1} {
		g, basic, _, token := world(emulator.Fresh)
		token.saw(life{fingerprint: "a", obtained: s(0), refreshAt: s(3), expiresAt: s(9)}, s(1))
		basic.absent(s(1))
		want := missed
		if end > 6 { // and a Secret that never comes
			want++
		}
		if j := judge([]*gini{g}, &excuses{}, noon, s(end)); j.missed != want {
			t.Errorf("%v: %+v", end, j)
		}
	}
}

// TestStickyLife: what was planned before the token was known to be sticky is due when it has ended.
func TestStickyLife(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
		api.FingerprintAnnotation: "a", api.ObtainedAtAnnotation: "2026-01-02T12:00:00.000Z", api.RefreshAtAnnotation: "2026-01-02T12:00:03.000Z",
		api.ExpiresAtAnnotation: "2026-01-02T12:00:09Z", api.EndsByAnnotation: "2026-01-02T12:00:10.500Z",
	}}}
	for mode, refresh := range map[emulator.TokenMode]float64{emulator.Sticky: 10.5, emulator.Fresh: 3} {
		_, basic, jwt, token := world(mode)
		if l := token.lifeOf(secret); !l.refreshAt.Equal(s(refresh)) || l.third() != 3*time.Second || l.fingerprint != "a" {
			t.Errorf("%s: %+v", mode, l)
		}
		if l := jwt.lifeOf(secret); !l.refreshAt.Equal(s(3)) {
			t.Errorf("%s: %+v", mode, l)
		}
		if l := basic.lifeOf(&corev1.Secret{}); l != (life{}) {
			t.Errorf("%s: %+v", mode, l)
		}
	}
}

func TestBusy(t *testing.T) {
	o := operators{}
	o.looked(slowLook)
	o.slow = append(o.slow, s(100))
	for _, tt := range []struct {
		from, to float64
		busy     bool
	}{{80, 99, false}, {90, 101, true}, {100, 100, true}, {109, 120, true}, {110, 120, false}} {
		if got := o.busy(s(tt.from), s(tt.to)); got != tt.busy {
			t.Errorf("%+v", tt)
		}
	}
	if o.looked(slowLook + time.Millisecond); len(o.slow) != 2 || o.looks != 2 || o.worst != slowLook+time.Millisecond {
		t.Errorf("%d, %d, %s", len(o.slow), o.looks, o.worst)
	}
}

// TestSuperseded: a login ends the one token before it where fresh tokens end old ones, and a refresh does wherever it is used.
func TestSuperseded(t *testing.T) {
	of := func(operation emulator.Operation, at float64, user string) emulator.Call {
		call := loggedIn(at, user, 200)
		call.Operation = operation
		return call
	}
	_, _, _, token := world(emulator.Fresh)
	id := token.user.identifier()
	for _, tt := range []struct {
		name    string
		mode    emulator.TokenMode
		calls   []emulator.Call
		excused int
		expired int
	}{
		{"a login", emulator.FreshEndsOld, []emulator.Call{used(1, "a", id, 200), loggedIn(3, id, 200), used(3.5, "a", id, 401), used(4, "a", id, 401)}, 2, 0},
		{"a login by password", emulator.FreshEndsOld, []emulator.Call{of(emulator.PasswordLogin, 3, id), used(3.5, "a", id, 401)}, 1, 0},
		{"fresh tokens end no others", emulator.Fresh, []emulator.Call{loggedIn(3, id, 200), used(3.5, "a", id, 401)}, 0, 1},
		{"nor do sticky ones", emulator.Sticky, []emulator.Call{loggedIn(3, id, 200), used(3.5, "a", id, 401)}, 0, 1},
		{"a refresh", emulator.Sticky, []emulator.Call{of(emulator.Refresh, 3, id), used(3.5, "a", id, 401)}, 1, 0},
		{"a login of somebody else", emulator.FreshEndsOld, []emulator.Call{loggedIn(3, "another", 200), used(3.5, "a", id, 401)}, 0, 1},
		{"a login that came later", emulator.FreshEndsOld, []emulator.Call{used(2.9, "a", id, 401), loggedIn(3, id, 200)}, 0, 1},
		{"a login long ago", emulator.FreshEndsOld, []emulator.Call{loggedIn(3, id, 200), used(5.1, "a", id, 401)}, 0, 1},
		{"two tokens by one login", emulator.FreshEndsOld,
			[]emulator.Call{loggedIn(3, id, 200), used(3.5, "a", id, 401), used(4, "b", id, 401), used(4.5, "a", id, 401)}, 2, 1},
		{"two tokens by two logins", emulator.FreshEndsOld,
			[]emulator.Call{loggedIn(3, id, 200), used(3.5, "a", id, 401), loggedIn(3.6, id, 200), used(4, "b", id, 401), used(4.5, "b", id, 401)}, 3, 0},
		{"one token by two logins", emulator.FreshEndsOld,
			[]emulator.Call{loggedIn(3, id, 200), used(3.5, "a", id, 401), loggedIn(5, id, 200), used(5.1, "a", id, 401)}, 1, 1},
		{"a token that came back", emulator.FreshEndsOld,
			[]emulator.Call{used(1, "a", id, 200), used(4, "b", id, 200), loggedIn(5, id, 200), used(5.1, "a", id, 401)}, 0, 1},
	} {
		g, _, _, token := world(tt.mode)
		g.holds("a", token)
		g.holds("b", token)
		if err := g.readLedger(ledgerOf(tt.calls...)); err != nil {
			t.Fatal(err)
		}
		if j := judge([]*gini{g}, &excuses{}, noon, s(60)); j.excusedUses[superseded] != tt.excused || j.expired != tt.expired {
			t.Errorf("%s: %+v", tt.name, j)
		}
	}
}

// TestRenewalsAreBounded: nobody is renewed more often than its credential can have been due, and faults have asked for.
func TestRenewalsAreBounded(t *testing.T) {
	for _, tt := range []struct {
		mode      emulator.TokenMode
		jwt       bool
		unplanned int
		most      int // in 100 s
	}{
		{emulator.Fresh, false, 0, 38}, // each 2.67 s, and one
		{emulator.FreshEndsOld, false, 0, 38},
		{emulator.Sticky, false, 0, 11},
		{emulator.Sticky, true, 0, 11}, // each 9.67 s, and one
		{emulator.Fresh, false, 4, 42},
	} {
		for more := range 2 {
			g, _, jwt, token := world(tt.mode)
			d := token
			if tt.jwt {
				d = jwt
			}
			d.user.askAnew(tt.unplanned)
			for i := range tt.most + more + 1 { // the first is no renewal
				d.accepted(string(rune('a' + i)))
			}
			j := judge([]*gini{g}, &excuses{}, noon, s(100))
			if j.renewals != tt.most+more || j.wasteful != more || len(j.findings) != more || j.most <= tt.most {
				t.Errorf("%+v and %d: %+v", tt, more, j)
			}
		}
	}
	_, basic, _, _ := world(emulator.Fresh)
	if most := basic.mostRenewals(time.Hour); most != 0 {
		t.Errorf("what does not change may be renewed %d times", most)
	}
}
