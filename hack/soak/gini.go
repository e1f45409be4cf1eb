package main

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// lane is where the operator learns how Gini does: each client at each of Gini's two hosts, and its JWTs apart, as they fail apart.
type lane struct {
	clientID  string
	anonymous bool // at the User Center
	jwt       bool
}

// gini is one emulated Gini. Its tokens behave in one way, so there is one for each way.
type gini struct {
	name         string
	mode         emulator.TokenMode
	server       *emulator.Server
	url          string
	applications []*application

	mu sync.Mutex
	// holders are the devices by the fingerprints of what they show.
	holders map[string]*device
	// read is the sequence of the last call that was read from the ledger.
	read int
	// ends are when tokens and JWTs ended that were used after their end, by fingerprint.
	ends map[string]time.Time
	// answered are the operator's requests that Gini answered as asked, and logins those that may have ended a token, by the user's name at Gini.
	answered map[lane][]time.Time
	logins   map[string][]*login
	refused  []refusal
}

// login is a request for a token that ended the one before it, if Gini did what it asked.
type login struct {
	at time.Time
	// ended is the token that it is taken to have ended, once the use of one was refused; "" before.
	ended string
}

// refusal is a use that Gini refused.
type refusal struct {
	at     time.Time
	device *device
	// status is Gini's, user the user's name at Gini where that is known, and token the fingerprint of what was shown.
	status      int
	user, token string
	// replaced is whether the device had used another token after this one.
	replaced bool
}

// newGinis makes the three readings of how tokens behave.
func newGinis() (ginis []*gini) {
	for _, g := range []struct {
		name    string
		mode    emulator.TokenMode
		refresh emulator.RefreshMode // of the clients that get refresh tokens
	}{
		{"fresh", emulator.Fresh, emulator.RefreshStable},
		{"sticky", emulator.Sticky, emulator.RefreshStable},
		{"ending", emulator.FreshEndsOld, emulator.RefreshRotating},
	} {
		behaviour := emulator.Behaviour{Mode: g.mode, Refresh: g.refresh}
		ginis = append(ginis, &gini{
			name: g.name, mode: g.mode, holders: map[string]*device{}, ends: map[string]time.Time{},
			answered: map[lane][]time.Time{}, logins: map[string][]*login{},
			server: emulator.New(emulator.WithLifetime(tokenLifetime), emulator.WithLogin(behaviour), emulator.WithUserCenter(behaviour),
				emulator.WithClientToken(emulator.Behaviour{Mode: g.mode, Lifetime: tokenLifetime})),
		})
	}
	return ginis
}

// holds notes who shows a token.
func (g *gini) holds(fingerprint string, d *device) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holders[fingerprint] = d
}

// readLedger reads the calls that are new in the ledger, up to the first that is still under way.
func (g *gini) readLedger(ledger *emulator.Ledger) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, use := range ledger.ExpiredUseList {
		g.ends[use.Token] = use.Expired
	}
	for _, call := range ledger.Calls {
		switch {
		case call.Sequence <= g.read:
			continue
		case call.Sequence > g.read+1:
			return fmt.Errorf("the ledger of Gini %q has dropped calls: %d follows %d", g.name, call.Sequence, g.read)
		case !call.Done:
			return nil
		}
		g.read = call.Sequence
		if call.Operation == emulator.Documents {
			if err := g.use(&call); err != nil {
				return err
			}
			continue
		}
		g.request(&call)
	}
	return nil
}

// request notes what the operator asked for.
func (g *gini) request(call *emulator.Call) {
	if call.Status >= 200 && call.Status < 300 && call.Fault == "" {
		l := lane{clientID: call.ClientID, anonymous: call.Operation != emulator.Login, jwt: call.JWT}
		g.answered[l] = append(g.answered[l], call.Time)
	}
	ends := false
	switch call.Operation {
	case emulator.Login, emulator.PasswordLogin:
		ends = g.mode == emulator.FreshEndsOld
	case emulator.Refresh: // a refresh token is used up together with its access token, whatever the mode
		ends = true
	}
	if ends {
		key := loginKey(call.ClientID, call.User)
		g.logins[key] = append(g.logins[key], &login{at: call.Time})
	}
}

// use notes what a device did.
func (g *gini) use(call *emulator.Call) error {
	d := g.holders[call.Token]
	if call.Token == "" {
		d = g.byIdentifier(call.User)
	}
	switch {
	case call.Status == 0: // the device or Gini went away
	case d == nil:
		return fmt.Errorf("the ledger of Gini %q has a use that no device knows of: %s, call %d", g.name, call.Token, call.Sequence)
	case call.Status == 200:
		d.accepted(call.Token)
	default:
		g.refused = append(g.refused, refusal{
			at: call.Time, device: d, status: call.Status, user: call.User, token: call.Token, replaced: d.hasReplaced(call.Token),
		})
	}
	return nil
}

// byIdentifier is the device that shows client credentials for a derived user.
func (g *gini) byIdentifier(identifier string) *device {
	for _, a := range g.applications {
		for _, u := range a.users {
			for _, d := range u.devices {
				if d.kind == byCredentials && u.identifier() == identifier {
					return d
				}
			}
		}
	}
	return nil
}

func loginKey(clientID, user string) string { return clientID + "/" + user }

// firstAnswer is when Gini first answered a lane at or after an instant; zero where it has not.
func (g *gini) firstAnswer(l lane, after time.Time) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	times := g.answered[l]
	if i := slices.IndexFunc(times, func(t time.Time) bool { return !t.Before(after) }); i >= 0 {
		return times[i]
	}
	return time.Time{}
}

// superseded reports whether a token was refused because the operator had logged in, at most supersededGap before. A login ends only the
// token before it: it is no excuse for a second token, nor is a second login for the same one, nor any for a token that came back.
// To be asked in the order of the refusals.
func (g *gini) superseded(r refusal) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.replaced {
		return false
	}
	logins := g.logins[loginKey(r.device.user.application.clientID, r.user)]
	recent := func(l *login) bool { return l.at.Before(r.at) && r.at.Sub(l.at) <= supersededGap }
	if i := slices.IndexFunc(logins, func(l *login) bool { return l.ended == r.token }); i >= 0 {
		return recent(logins[i])
	}
	for _, l := range slices.Backward(logins) {
		if l.ended == "" && recent(l) {
			l.ended = r.token
			return true
		}
	}
	return false
}

// lane is where a device's credential comes from; false where it comes from nowhere.
func (d *device) lane() (lane, bool) {
	return lane{clientID: d.user.application.clientID, anonymous: d.user.flow.anonymous, jwt: d.user.flow.jwt}, d.kind == byToken
}
