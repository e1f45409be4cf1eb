package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// asked are the operations of the operator: what devices do is never tampered with.
var asked = []emulator.Operation{
	emulator.Login, emulator.PasswordLogin, emulator.Refresh, emulator.ClientToken, emulator.CreateUser, emulator.GetUser, emulator.UpdateUser,
}

const (
	shortestTrouble, longestTrouble = 3 * time.Second, 6 * time.Second
	slowBy                          = time.Second
	retryAfter                      = 2 * time.Second
)

// giniFaults are troubles of one Gini, or of one client there, for some seconds.
var giniFaults = []fault{
	{name: "outage", inject: func(ctx context.Context, s *soak, draw *rand.Rand) error {
		g := pick(draw, s.ginis)
		end := s.begin(g.outage())
		s.out.Say("Gini %q is not to be reached", g.name)
		g.server.Close()
		pause(ctx, between(draw, shortestTrouble, longestTrouble))
		_, err := g.restart()
		s.out.Say("  Gini %q is there again", g.name)
		end(time.Now())
		return err
	}},
	scripted("rate limited", emulator.TooManyRequests(retryAfter), 0, (*gini).outage),
	scripted("every third request fails", emulator.Status(http.StatusInternalServerError, ""), 3, (*gini).hindrance),
	scripted("connections cut", emulator.CutMidBody(), 0, (*gini).outage),
	scripted("answers lost", emulator.CutMidBody().AfterTakingEffect(), 0, (*gini).outage),
	scripted("slow", emulator.Latency(slowBy), 0, (*gini).hindrance),
	scripted("broken JSON", emulator.BrokenJSON(), 0, (*gini).outage),
	{name: "client secret rotated", inject: rotate},
}

// scripted is a fault by the emulator's script, for each request or only for some of them.
func scripted(name string, effect emulator.Effect, every int, excused func(*gini) excuse) fault {
	return fault{name: name, inject: func(ctx context.Context, s *soak, draw *rand.Rand) error {
		g := pick(draw, s.ginis)
		end := s.begin(excused(g))
		s.out.Say("Gini %q: %s", g.name, name)
		remove := g.server.Script(emulator.Fault{Name: name, Match: emulator.Match{Operations: asked, Every: every}, Effect: effect})
		pause(ctx, between(draw, shortestTrouble, longestTrouble))
		remove()
		s.out.Say("  Gini %q: no more: %s", g.name, name)
		end(time.Now())
		return nil
	}}
}

// begin notes an excuse from now on.
func (s *soak) begin(e excuse) (end func(time.Time)) { return s.excuses.begin(e, time.Now()) }

// restart lets Gini listen again where it did before; somebody else may have got the port for a moment, for a connection that goes out.
func (g *gini) restart() (url string, err error) {
	for range 50 {
		if url, err = g.server.Start(); err == nil {
			return url, nil
		}
		time.Sleep(lookPause)
	}
	return "", fmt.Errorf("the emulator %q does not start again: %w", g.name, err)
}

// queueTime is what the client's rate limit takes for a credential of each of its users.
func (a *application) queueTime() time.Duration {
	return time.Duration(len(a.users))*time.Second/requestRate + queueGrace
}

// outage is the excuse while Gini gives no answer that is of use.
func (g *gini) outage() excuse {
	e := excuse{cause: outage, answered: answeredWithin(probeLimit), concerns: func(d *device) bool {
		return d.user.application.gini == g && d.kind == byToken
	}}
	for _, a := range g.applications {
		e.grace = max(e.grace, a.queueTime())
	}
	return e
}

// hindrance is the excuse while Gini is no help.
func (g *gini) hindrance() excuse {
	return excuse{cause: hindered, grace: queueGrace, concerns: func(d *device) bool {
		return d.user.application.gini == g && g.mode == emulator.Sticky && d.kind == byToken
	}}
}

// answeredWithin is when the first request of the device's lane was answered after a trouble, at most so long after it.
func answeredWithin(limit time.Duration) func(*device, time.Time) time.Time {
	return func(d *device, ended time.Time) time.Time {
		l, ok := d.lane()
		if !ok {
			return ended
		}
		answer := d.user.application.gini.firstAnswer(l, ended)
		if latest := ended.Add(limit); answer.IsZero() || answer.After(latest) {
			return latest
		}
		return answer
	}
}

// rotate changes a client secret at Gini, and some seconds later in the cluster.
func rotate(ctx context.Context, s *soak, draw *rand.Rand) error {
	a := pick(draw, s.applications)
	end := s.begin(excuse{cause: rotated, grace: max(repairLimit, a.queueTime()), answered: answeredWithin(repairLimit), concerns: func(d *device) bool {
		return d.user.application == a && d.kind != byJWT
	}})
	s.out.Say("The client secret of %s is another one at Gini", a.name)
	s.generations[a]++
	if !a.gini.server.RotateSecret(a.clientID, a.clientSecret(s.generations[a])) {
		return errors.New("Gini knows no client " + a.clientID)
	}
	pause(ctx, between(draw, shortestTrouble, longestTrouble))
	ctx = context.WithoutCancel(ctx) // what was begun is ended
	err := s.edit(ctx, &corev1.Secret{ObjectMeta: meta(a.name)}, func(secret client.Object) {
		secret.(*corev1.Secret).Data[api.DefaultClientSecretKey] = []byte(a.clientSecret(s.generations[a]))
	})
	s.out.Say("  The Secret of %s has the new client secret", a.name)
	end(time.Now())
	return err
}

// edit changes an object of the cluster, when there is an API server.
func (s *soak) edit(ctx context.Context, object client.Object, change func(client.Object)) error {
	s.api.RLock()
	defer s.api.RUnlock()
	key := types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
	if err := s.cluster.Client.Get(ctx, key, object); err != nil {
		return err
	}
	before := object.DeepCopyObject().(client.Object)
	change(object)
	return s.cluster.Client.Patch(ctx, object, client.MergeFrom(before))
}
