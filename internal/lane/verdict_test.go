package lane_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
)

// story tells a state of what happens one after the other, and returns whose each failure was: a user's "own", the "client"'s, or nobody's
// yet ("-"). Its words are "ok", a step of the clock, or who fails and how: "alice=401". A user with a star has, or had, a token, one
// with an exclamation mark was refused in the same way before; "neutral" is a
// request without a user, of a client that was given a client token before, and "neutral?" of one that was not.
func story(t *testing.T, state lane.State, known lane.Evidence, refusal gini.Kind, words string) (verdicts string, end lane.State) {
	t.Helper()
	kinds := map[string]gini.Kind{
		"401": refusal, "429": gini.RateLimited, "503": gini.Unavailable, "odd": gini.Unexpected, "timeout": gini.Timeout, "down": gini.Unreachable,
	}
	now, told := noon, []string{}
	for _, word := range strings.Fields(words) {
		if word == "ok" {
			state = state.Succeeded()
			continue
		}
		who, how, fails := strings.Cut(word, "=")
		if !fails {
			by, err := time.ParseDuration(word)
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(by)
			continue
		}
		how, after, _ := strings.Cut(how, "+")
		failure := lane.Failure{User: key(strings.TrimRight(who, "*?")), Kind: kinds[how], Evidence: known}
		failure.RetryAfter, _ = time.ParseDuration(after)
		failure.Proven = strings.HasSuffix(who, "*")
		if again, ok := strings.CutSuffix(who, "!"); ok {
			failure.User, failure.Again = key(again), true
		}
		if strings.HasPrefix(who, "neutral") {
			failure.User, failure.Neutral, failure.Before = types.NamespacedName{}, true, !strings.HasSuffix(who, "?")
		}
		var own bool
		switch state, own = state.Failed(failure, now); {
		case own:
			told = append(told, "own")
		case !state.Healthy():
			told = append(told, "client")
		default:
			told = append(told, "-")
		}
	}
	return strings.Join(told, " "), state
}

// TestWhoseRefusal is the rule of whose a refusal or a rate limit is.
func TestWhoseRefusal(t *testing.T) {
	never, once := lane.State{}, lane.Accepting()
	others, before := lane.Evidence{Others: true}, lane.Evidence{Others: true, Before: true}
	for _, c := range []struct {
		rule  string
		state lane.State
		known lane.Evidence
		words string
		want  string
		sole  bool
	}{
		{"never accepted: the first refusal is the client's", never, others, "alice=401", "client", false},
		{"never accepted: whoever it was", never, lane.Evidence{}, "alice*=401", "client", false},
		{"never accepted: a neutral one too", never, others, "neutral=401", "client", false},
		{"never accepted: what was never given does not matter", never, others, "neutral?=401", "client", false},
		{"never accepted: the first 429 is the client's", never, others, "alice=429", "client", false},
		{"never accepted: an outage before says nothing", never, others, "alice=503 alice=401", "- client", false},

		{"accepted: one user's refusal is its own", once, others, "alice=401", "own", false},
		{"accepted: though it had a token", once, others, "alice*=401", "own", false},
		{"accepted: one user's 429 is its own", once, others, "alice=429", "own", false},
		{"accepted: however often", once, others, "alice*=401 1m alice*=401 30m alice*=401 30m alice*=401", "own own own own", false},
		{"accepted: 429 too", once, others, "alice*=429 1m alice*=429 30m alice*=429", "own own own", false},

		{"another user's, and one of them had a token", once, others, "alice=401 bob*=401", "own client", false},
		{"the other of them", once, others, "alice*=401 bob=401", "own client", false},
		{"both", once, others, "alice*=401 5h bob*=401", "own client", false},
		{"neither: they may be refused for what they are called", once, others, "alice=401 bob=401 carol=401", "own own own", false},
		{"until one that had a token is refused", once, others, "alice=401 bob=401 carol*=401", "own own client", false},
		{"a 429 of any two", once, others, "alice=429 bob=429", "own client", false},
		{"a success clears the suspicion", once, others, "alice*=401 ok bob*=401 ok alice*=401 ok bob*=401", "own own own own", false},
		{"of 429 too", once, others, "alice=429 ok bob=429", "own own", false},
		{"a 429 of users that were limited for themselves before", once, others, "alice!=429 bob!=429 alice!=429", "own own own", false},
		{"until one that was well is limited, and another", once, others, "alice!=429 bob!=429 carol*=429 alice!=429 dave*=429", "own own own own client", false},
		{"a 401 of such users", once, others, "alice!=401 bob*=401", "own client", false},
		{"a user that is alone and was limited before", once, lane.Evidence{}, "alice!=429 1m alice!=429", "own client", true},
		{"another kind is another suspicion", once, others, "alice*=401 bob*=429 carol*=401 dave*=401", "own own own client", false},

		{"a neutral request fails too", once, before, "alice*=401 neutral=401", "own client", false},
		{"or before", once, before, "neutral=401", "client", false},
		{"a neutral 429", once, before, "neutral=429", "client", false},
		{"a neutral 429 of a client that was never given a token", once, others, "neutral?=429", "client", false},
		{"what was never given is not missed", once, others, "neutral?=401 neutral?=401", "own own", false},
		{"and is nothing to the users", once, others, "alice*=401 neutral?=401 alice*=401", "own own own", false},
		{"where neutral evidence can be had, users are none", once, before, "alice*=401 bob*=401 1h carol*=401 alice*=401", "own own own own", false},
		{"nor their 429", once, before, "alice*=429 bob*=429 1h carol*=429", "own own own", false},
		{"but it is waited for in vain by nobody", once, before, "alice*=401 bob*=401 neutral=401 carol*=401", "own own client client", false},

		{"a user that is alone: its second refusal", once, lane.Evidence{}, "alice*=401 1m alice*=401", "own client", true},
		{"its first too, if it had none", once, lane.Evidence{}, "alice=401 1m alice=401", "own client", true},
		{"not within a minute", once, lane.Evidence{}, "alice*=401 59s alice*=401 1s alice*=401", "own own client", true},
		{"a 429", once, lane.Evidence{}, "alice*=429 1m alice*=429", "own client", true},
		{"alone, and then another", once, lane.Evidence{}, "alice=401 1m bob=401", "own client", false},
		{"another at once", once, lane.Evidence{}, "alice=401 bob=401", "own own", false},
		{"the other confirms it", once, lane.Evidence{}, "alice*=401 1m alice*=401 1m bob=401", "own client client", false},
		{"the same again does not", once, lane.Evidence{}, "alice*=401 1m alice*=401 1m alice*=401", "own client client", true},
		{"a success in between", once, lane.Evidence{}, "alice*=401 59s ok 1s alice*=401", "own own", false},

		{"a clock that is set back starts over", once, lane.Evidence{}, "alice*=401 -10h alice*=401 1m alice*=401", "own own client", true},
		{"also for another user", once, others, "alice*=401 -1s bob*=401 1s alice*=401", "own own client", false},

		{"an outage goes on, whoever is refused in it", once, others, "a=503 b=503 c=503 alice=401", "- - client own", false},
		{"a rate limit too", once, others, "a=429 b=429 alice=401 alice=429", "own client own client", false},
		{"it is told as refused once two are", once, others, "a=429 b=429 alice=401 bob*=401", "own client own client", false},
	} {
		for _, refusal := range []gini.Kind{gini.CredentialsRejected, gini.JWTRejected} {
			t.Run(c.rule+" "+string(refusal), func(t *testing.T) {
				got, end := story(t, c.state, c.known, refusal, c.words)
				if got != c.want || end.Sole != c.sole {
					t.Errorf("%s: %s, sole %v; want %s, sole %v", c.words, got, end.Sole, c.want, c.sole)
				}
			})
		}
	}
}

// TestWhoseOutage is the rule of failures that are no refusal.
func TestWhoseOutage(t *testing.T) {
	for _, c := range []struct {
		rule   string
		others bool
		words  string
		want   string
	}{
		{"three in a row of two users", true, "a=HOW b=HOW a=HOW", "- - client"},
		{"of three", true, "a=HOW b=HOW c=HOW", "- - client"},
		{"not if one goes well", true, "a=HOW b=HOW ok a=HOW b=HOW", "- - - -"},
		{"one user's refusal in between is no success", true, "a=HOW bad=401 b=HOW c=HOW", "- own - client"},
		{"six of one user", false, "a=HOW a=HOW a=HOW a=HOW a=HOW a=HOW", "- - - - - client"},
	} {
		for _, how := range []string{"503", "odd", "timeout", "down"} {
			t.Run(c.rule+" "+how, func(t *testing.T) {
				got, _ := story(t, lane.Accepting(), lane.Evidence{Others: c.others}, gini.CredentialsRejected, strings.ReplaceAll(c.words, "HOW", how))
				if got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
			})
		}
	}
	for how, want := range map[string]string{"503": "-", "odd": "-", "timeout": "client", "down": "client"} { // a server that answers may dislike one user
		got, _ := story(t, lane.Accepting(), lane.Evidence{Others: true}, gini.CredentialsRejected, strings.Repeat("a="+how+" ", 6))
		if got != "- - - - - "+want {
			t.Errorf("six times %s: %s", how, got)
		}
	}
}

// TestWhoseRetryAfter: what one user or two are told is theirs; everybody waits as long as a neutral request is told to, or the shortest of three
// users one after the other, if the last had a token or nobody else has one.
func TestWhoseRetryAfter(t *testing.T) {
	for words, want := range map[string]time.Duration{
		"alice=429+1h":                             0,
		"alice=503+1h":                             0,
		"alice=503+1h alice=503+1h":                0,
		"alice*=503+1h bob*=503+2h":                0,
		"alice*=503+1h bob*=503+1h alice*=503+1h":  time.Second,      // an outage, as any three in a row
		"a*=503+2h 5m b*=503+90m 5m c*=503+1h":     70 * time.Minute, // from noon
		"a*=503+1h b*=503+1h c*=503+2h":            time.Hour,
		"a=503+1h b=503+1h c*=503+1h":              time.Hour,
		"a*=503+1h b*=503+1h c=503+1h":             time.Second, // c may be called what a server dislikes
		"a*=503+1h b*=503+1h c=503+1h a*=503+1h":   time.Hour,
		"a*=503+1h b*=503+1h ok c*=503+1h":         0,
		"a*=503+1h b*=503+1h d=503 c*=503+1h":      2 * time.Second,
		"alice=503+1h ok bob=503+1h":               0,
		"alice=503+1h bob=503":                     0,
		"alice=503+1h bob=503 carol=503+1h":        time.Second,
		"alice*=429+1h bob*=429+30m":               time.Second,
		"alice*=429+30m bob*=429+1h":               time.Second,
		"a*=429+1h b*=429+30m c*=429+1h":           30 * time.Minute,
		"a*=429+30m b*=429+1h c=429+1h":            2 * time.Second,
		"a*=429+1h b*=429+1h a*=429+1h b*=429+1h":  4 * time.Second,
		"alice=429+1h bob=429":                     time.Second,
		"neutral=429+1h":                           time.Hour,
		"neutral=503+1h":                           time.Hour,
		"neutral=503":                              0,
		"alice=429+2h neutral=429+1h":              time.Hour,
		"a=503 b=503 c=503 alice=503+1h":           2 * time.Second,
		"a=503 b=503 c=503 alice=503+1h bob=429":   4 * time.Second,
		"a=503 b=503 c=503+9m 1m alice*=503+8m":    time.Minute + 2*time.Second,
		"a=503 b=503+9m c=503+9m 1m d*=503+8m":     9 * time.Minute,
		"alice*=401+1h 2h bob*=401":                2*time.Hour + time.Minute,
		"alice=429+1h 1h -3h bob=429+1h":           0,
		"a=429 b=429 1s alice=401+1h alice=401+1h": 5 * time.Second,
	} {
		t.Run(words, func(t *testing.T) { expectProbe(t, lane.Evidence{Others: true}, words, want) })
	}
	for words, want := range map[string]time.Duration{ // nobody else has a token: there will be no better evidence
		"a=503+1h b=503+1h":          0,
		"a=503+1h b=503+1h c=503+2h": time.Hour,
		"a=429+1h b=429+1h c=429+1h": time.Hour,
	} {
		t.Run(words+" alone", func(t *testing.T) { expectProbe(t, lane.Evidence{}, words, want) })
	}
}

// expectProbe expects the next probe so long after noon, or a little earlier; none for zero.
func expectProbe(t *testing.T, known lane.Evidence, words string, want time.Duration) {
	t.Helper()
	_, state := story(t, lane.Accepting(), known, gini.CredentialsRejected, words)
	got := state.ProbeAt.Sub(noon)
	if want == 0 && !state.Healthy() || want != 0 && (got > want || got < want-max(want, -want)/10-time.Second) {
		t.Errorf("probe %v after noon, want %v; state %+v", got, want, state)
	}
}
