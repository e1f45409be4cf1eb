package operator_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/operator/operatortest"
)

// walked is a cache that counts how often somebody begins to walk all users, and holds up who does while it is hung.
type walked struct {
	cache.Cache
	begun atomic.Int64
	hung  atomic.Bool
}

func (c *walked) over(config *rest.Config, options cache.Options) (cache.Cache, error) {
	below, err := cache.New(config, options)
	c.Cache = below
	return c, err
}

func (c *walked) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	var narrowed client.ListOptions
	narrowed.ApplyOptions(options)
	if _, ok := list.(*api.GiniUserList); ok && narrowed.FieldSelector == nil && narrowed.Namespace == "" {
		c.begun.Add(1)
		if c.hung.Load() {
			<-ctx.Done()
			return ctx.Err()
		}
	}
	return c.Cache.List(ctx, list, options...)
}

// away is an API server that is gone from a moment on, until it is back.
type away struct {
	hangs bool // else it fails
	gone  atomic.Bool
	tried atomic.Int64
	back  chan struct{}
}

func (a *away) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if !a.gone.Load() {
			return next.RoundTrip(request)
		}
		a.tried.Add(1)
		if a.hangs {
			select {
			case <-request.Context().Done():
			case <-a.back:
			}
		}
		return nil, errors.New("connection refused")
	})
}

// health is what /healthz answers; 0 where nobody answers.
func (w *world) health(ctx context.Context) func() int {
	return func() int {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.probes+"/healthz", http.NoBody)
		Expect(err).NotTo(HaveOccurred())
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0
		}
		defer func() { _ = response.Body.Close() }()
		return response.StatusCode
	}
}

// expectSweep lets the clock run until a sweep begins.
func (w *world) expectSweep(users *walked) {
	GinkgoHelper()
	before := users.begun.Load()
	Eventually(func() int64 {
		w.clock.Step(time.Second)
		return users.begun.Load()
	}).WithTimeout(eventually).Should(BeNumerically(">", before))
}

var _ = Describe("The liveness of an operator", func() {
	It("ends where it leads and looks at no user for three minutes (R13.2)", func(ctx SpecContext) {
		w, users := newWorld(ctx), &walked{}
		w.probes, w.cache = operatortest.FreeAddress(ctx), users.over
		w.operate()
		Eventually(w.health(ctx)).WithTimeout(eventually).Should(Equal(http.StatusOK))
		w.expectSweep(users)
		users.hung.Store(true)
		w.expectSweep(users)
		Expect(w.health(ctx)()).To(Equal(http.StatusOK), "it has begun one a moment ago")
		Eventually(func() int { // who walked may have been somebody else: a sweep that begins now hangs
			w.clock.Step(3 * time.Minute)
			return w.health(ctx)()
		}).WithTimeout(eventually).Should(Equal(http.StatusInternalServerError))
		Consistently(w.health(ctx)).WithTimeout(time.Second).Should(Equal(http.StatusInternalServerError))
	})

	DescribeTable("goes on without an API server", func(ctx SpecContext, hangs bool) {
		w, users, server := newWorld(ctx), &walked{}, &away{hangs: hangs, back: make(chan struct{})}
		w.probes, w.cache = operatortest.FreeAddress(ctx), users.over
		w.config = rest.CopyConfig(restConfig)
		w.config.Wrap(server.wrap)
		w.operate()
		w.create(ctx, w.derived("alice"))
		w.expectReady(ctx, "alice", ready)
		w.expectSweep(users)

		server.gone.Store(true)
		DeferCleanup(func() {
			server.gone.Store(false)
			close(server.back)
		})
		w.clock.Step(8 * time.Hour) // alice is to be renewed
		Eventually(server.tried.Load).WithTimeout(eventually).Should(BeNumerically(">=", 1))
		for range 20 {
			w.clock.Step(3 * time.Minute)
			Eventually(w.health(ctx)).WithTimeout(eventually).Should(Equal(http.StatusOK), "a sweep follows at once")
		}
	},
		Entry("that fails (R13.2)", false),
		Entry("that hangs (R13.2)", true),
	)
})
