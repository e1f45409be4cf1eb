package controller_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// errDead is what the API server seems to say to an operator that is dead.
var errDead = errors.New("the operator is dead")

// event is what befalls an operator at one of its steps.
type event int

const (
	// nothingHappens: a reference run.
	nothingHappens event = iota
	// diesBefore the step: it is not done.
	diesBefore
	// diesAfter the step: it is done, and the operator never learns of it.
	diesAfter
	// isOvertaken: another operator reconciles everything just before the step, as in a failover.
	isOvertaken
)

func (e event) String() string {
	return [...]string{"nothing happens", "dies before", "dies after", "is overtaken before"}[e]
}

// step is a write to Kubernetes, or a request to Gini or to the customer's identity provider.
type step struct {
	act  string
	name string
}

func (s step) isRequest() bool { return strings.Contains(s.name, " /") }

func (s step) isStatus() bool { return strings.Contains(s.name, "/status ") }

// watched is who the requests that arrive are by.
type watched int

const (
	// theSpec: they are let through.
	theSpec watched = iota
	// theOperator: they are its steps.
	theOperator
	// theOther operator: they are let through, and counted.
	theOther
)

// gate stands between the operator and everything that it changes, counts its steps, and lets something happen at one of them.
type gate struct {
	happens event
	at      int
	overlap func()

	mu    sync.Mutex
	by    watched
	act   string
	steps []step
	// done counts the requests that were served and the writes that were done, of all operators.
	done map[string]int
	dead bool
}

// pass lets a step be done, unless the operator is dead or dies, and reports whether it learns of it.
func (g *gate) pass(name string, do func()) (learns bool) {
	happens, proceeds := g.arrive(name)
	if happens == isOvertaken {
		g.watch(theOther)
		g.overlap()
		g.watch(theOperator)
	}
	if proceeds {
		do()
	}
	return proceeds && happens != diesAfter
}

func (g *gate) arrive(name string) (happens event, proceeds bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.by == theOperator {
		if g.dead {
			return nothingHappens, false
		}
		if g.happens != nothingHappens && g.at == len(g.steps) {
			happens = g.happens
		}
		g.steps = append(g.steps, step{act: g.act, name: name})
		g.dead = happens == diesBefore || happens == diesAfter
	}
	return happens, happens != diesBefore
}

// count notes that a request was served, or a write done.
func (g *gate) count(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.by != theSpec {
		g.done[name]++
	}
}

func (g *gate) watch(by watched) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.by = by
}

func (g *gate) begin(act string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.act = act
}

func (g *gate) isDead() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dead
}

func (g *gate) taken() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.steps)
}

// before is a server that requests reach through the gate, which names them with the prefix.
func (g *gate) before(prefix string, inner http.Handler) string {
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		request.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		name := requestName(prefix, request, body)
		if !g.pass(name, func() { inner.ServeHTTP(answer, request); g.count(name) }) {
			panic(http.ErrAbortHandler)
		}
		maps.Copy(out.Header(), answer.Header())
		out.WriteHeader(answer.Code)
		_, _ = out.Write(answer.Body.Bytes())
	}))
	DeferCleanup(server.Close)
	return server.URL
}

func requestName(prefix string, request *http.Request, body []byte) string {
	path := request.URL.Path
	if id, ok := strings.CutPrefix(path, "/api/users/"); ok && id != "" {
		path = "/api/users/{id}"
	}
	name := request.Method + " " + prefix + path
	grant := request.URL.Query().Get("grant_type")
	if form, err := url.ParseQuery(string(body)); err == nil && grant == "" {
		grant = form.Get("grant_type")
	}
	if grant != "" {
		name += " " + grant
	}
	return name
}

// life is the Kubernetes client of one operator, from its start to its death.
type life struct {
	gate  *gate
	ended bool
}

func (l *life) write(verb string, object client.Object, subResource string, do func() error) error {
	var err error
	name := writeName(verb, object, subResource)
	learns := !l.isOver() && l.gate.pass(name, func() {
		if err = do(); err == nil {
			l.gate.count(name)
		}
	})
	if !learns {
		return errDead
	}
	return err
}

func (l *life) end() {
	l.gate.mu.Lock()
	defer l.gate.mu.Unlock()
	l.ended, l.gate.dead = true, false
}

func (l *life) isOver() bool {
	l.gate.mu.Lock()
	defer l.gate.mu.Unlock()
	return l.ended || l.gate.dead
}

func writeName(verb string, object client.Object, subResource string) string {
	kinds, _, err := scheme.ObjectKinds(object)
	if err != nil {
		panic(err)
	}
	plural, _ := meta.UnsafeGuessKindToResource(kinds[0])
	name := verb + " " + plural.Resource
	if subResource != "" {
		name += "/" + subResource
	}
	return name + " " + object.GetName()
}

// client is k8s as this operator sees it: by namespace only, as if there were no others.
func (l *life) client(namespace string) client.WithWatch {
	return interceptor.NewClient(k8s, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if l.isOver() {
				return errDead
			}
			return c.Get(ctx, key, object, options...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if l.isOver() {
				return errDead
			}
			return c.List(ctx, list, append(options, client.InNamespace(namespace))...)
		},
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			return l.write("POST", object, "", func() error { return c.Create(ctx, object, options...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
			return l.write("PUT", object, "", func() error { return c.Update(ctx, object, options...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			return l.write("PATCH", object, "", func() error { return c.Patch(ctx, object, patch, options...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			return l.write("DELETE", object, "", func() error { return c.Delete(ctx, object, options...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, name string, object client.Object, options ...client.SubResourceUpdateOption) error {
			return l.write("PUT", object, name, func() error { return c.SubResource(name).Update(ctx, object, options...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, name string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			return l.write("PATCH", object, name, func() error { return c.SubResource(name).Patch(ctx, object, patch, options...) })
		},
		DeleteAllOf: func(context.Context, client.WithWatch, client.Object, ...client.DeleteAllOfOption) error {
			panic("the gate knows of no such write")
		},
		SubResourceCreate: func(context.Context, client.Client, string, client.Object, client.Object, ...client.SubResourceCreateOption) error {
			panic("the gate knows of no such write")
		},
	})
}

// cache is what this operator's cache holds: of one namespace only, as if there were no others.
func (l *life) cache(namespace string) client.Reader {
	return mortal{within{indexed{k8s}, namespace}, l}
}

// mortal is a reader that says nothing any more once its operator is dead.
type mortal struct {
	client.Reader
	life *life
}

// Get implements client.Reader.
func (m mortal) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if m.life.isOver() {
		return errDead
	}
	return m.Reader.Get(ctx, key, object, options...)
}

// List implements client.Reader.
func (m mortal) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if m.life.isOver() {
		return errDead
	}
	return m.Reader.List(ctx, list, options...)
}
