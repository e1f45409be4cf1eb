package operator_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	authorizationv1 "k8s.io/api/authorization/v1"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gini-operator/gini-operator/internal/operator"
)

// rights is an API server that is asked only what one may do: all in some namespaces, nothing in others.
type rights struct {
	client.Client
	mu      sync.Mutex
	allowed []string
	err     error
}

// Create implements client.Client.
func (r *rights) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	review, ok := object.(*authorizationv1.SelfSubjectAccessReview)
	if !ok {
		return errors.New("this is not what an operator asks")
	}
	review.Status.Allowed = slices.Contains(r.allowed, review.Spec.ResourceAttributes.Namespace)
	return r.err
}

func (r *rights) are(err error, namespaces ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.allowed, r.err = namespaces, err
}

// TestStartOver: the operator starts over for a namespace that can be read now, once a minute at most, and for nothing that is taken away
// from one, unless its caches can never be filled. Looks are 15 seconds apart, the first of them at the start.
func TestStartOver(t *testing.T) {
	const never = 0
	unavailable := errors.New("unavailable")
	for name, test := range map[string]struct {
		unfilled bool
		looks    [][]string // the namespaces that can be read; nil: the API server does not say. The last goes on.
		want     time.Duration
		says     string
	}{
		"as before":            {looks: [][]string{{"a"}}, want: never, says: `cannot be read: .*"namespace"="b" "missing"="list giniclients in namespace b"`},
		"one more":             {looks: [][]string{{"a"}, {"a", "b"}}, want: time.Minute, says: `can be read now" "namespace"="b"`},
		"one more, later":      {looks: [][]string{{"a"}, {"a"}, {"a"}, {"a"}, {"a"}, {"a"}, {"a"}, {"a", "b"}}, want: 105 * time.Second, says: "starts over"},
		"one more and gone":    {looks: [][]string{{"a"}, {"a", "b"}, {"a"}}, want: never, says: `can no longer be read: .*"namespace"="b"`},
		"one less":             {looks: [][]string{{"a", "b"}, {"a"}}, want: never, says: `can no longer be read: .*"namespace"="b"`},
		"one less, and back":   {looks: [][]string{{"a", "b"}, {"a"}, {"a"}, {"a"}, {"a"}, {"a", "b"}}, want: never, says: `can be read now" "namespace"="b"`},
		"one less, not read":   {looks: [][]string{{"a", "b"}, {"a"}}, unfilled: true, want: time.Minute, says: "without it"},
		"none":                 {looks: [][]string{{}}, want: never, says: "cannot be read"},
		"the first":            {looks: [][]string{{}, {"b"}}, want: time.Minute, says: "starts over"},
		"nothing known":        {looks: [][]string{{"a"}, nil}, want: never, says: "cannot be looked at"},
		"nothing known first":  {looks: [][]string{nil, {"a"}}, unfilled: true, want: time.Minute, says: "taken for readable"},
		"nothing known, again": {looks: [][]string{{"a"}, nil, nil, nil, nil, {"a", "b"}}, want: 75 * time.Second, says: "starts over"},
	} {
		t.Run(name, func(t *testing.T) {
			g, ctx := NewWithT(t), t.Context()
			clock, server, said := testclock.NewFakeClock(time.Now()), &rights{}, &logLines{}
			look := func(i int) {
				can := test.looks[min(i, len(test.looks)-1)]
				if can == nil {
					server.are(unavailable)
					return
				}
				server.are(nil, can...)
			}
			look(0)
			namespaces := operator.FindNamespaces(ctx, server, []string{"a", "b"}, prometheus.NewRegistry(), clock, funcr.New(said.add, funcr.Options{}))
			first := test.looks[0]
			if first == nil {
				first = []string{"a", "b"}
			}
			g.Expect(namespaces.Readable()).To(HaveExactElements(first))
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				namespaces.Watch(ctx, func(ctx context.Context) bool {
					if test.unfilled {
						<-ctx.Done() // as a cache waits
					}
					return !test.unfilled
				})
			}()
			var took time.Duration
			for i := range 20 {
				g.Eventually(func() bool { // it waits for the next look, or has done
					select {
					case <-namespaces.Changed():
						return true
					default:
						return clock.HasWaiters()
					}
				}).WithTimeout(eventually).Should(BeTrue())
				if !clock.HasWaiters() {
					took = time.Duration(i) * 15 * time.Second
					break
				}
				look(i + 1)
				clock.Step(15 * time.Second)
			}
			g.Expect(took).To(Equal(test.want))
			g.Expect(said.all()).To(ContainElement(MatchRegexp(test.says)))
			if test.want != never {
				g.Eventually(ended).WithTimeout(eventually).Should(BeClosed())
			}
		})
	}
}

// TestAllNamespaces: without namespaces, nothing is looked at.
func TestAllNamespaces(t *testing.T) {
	g := NewWithT(t)
	namespaces := operator.FindNamespaces(t.Context(), nil, nil, nil, nil, funcr.New(nil, funcr.Options{}))
	namespaces.Watch(t.Context(), nil)
	g.Expect(namespaces.Readable()).To(BeEmpty())
	g.Expect(namespaces.Unreadable()).To(BeEmpty())
	g.Expect(namespaces.Changed()).To(BeNil())
}
