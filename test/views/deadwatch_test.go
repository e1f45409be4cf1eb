package views

import (
	"io"
	"net"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/gini-operator/gini-operator/internal/operator"
)

// wire carries connections to the API server as they are, until it is cut without either end being told.
type wire struct {
	address string

	mu      sync.Mutex
	carried []*carriage
}

// carriage is a connection that is carried, as long as it is not dead.
type carriage struct {
	mu   sync.Mutex
	dead bool
}

func newWire(ctx SpecContext) *wire {
	GinkgoHelper()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	w := &wire{address: listener.Addr().String()}
	var open sync.WaitGroup
	ended := make(chan struct{})
	open.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.Trim(strings.TrimPrefix(restConfig.Host, "https:"), "/"))
			if err != nil {
				_ = near.Close()
				continue
			}
			through := &carriage{}
			w.mu.Lock()
			w.carried = append(w.carried, through)
			w.mu.Unlock()
			for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
				open.Go(func() {
					through.carry(way[0], way[1])
					_, _ = way[0].Close(), way[1].Close()
				})
			}
			open.Go(func() { <-ended; _, _ = near.Close(), far.Close() })
		}
	})
	DeferCleanup(func() { _ = listener.Close(); close(ended); open.Wait() })
	return w
}

// carry moves bytes one way. Those of a dead connection are taken, and go nowhere; nor is its end told of.
func (c *carriage) carry(from, to net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		c.mu.Lock()
		if !c.dead && n > 0 {
			_, _ = to.Write(buffer[:n])
		}
		dead := c.dead
		c.mu.Unlock()
		switch {
		case err == nil:
		case dead:
			return
		default:
			if half, ok := to.(interface{ CloseWrite() error }); ok && err == io.EOF { //nolint:errorlint // io.Reader says so
				_ = half.CloseWrite()
			}
			return
		}
	}
}

// cut lets all connections there are be dead; new ones are not.
func (w *wire) cut() (connections int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, through := range w.carried {
		through.mu.Lock()
		through.dead = true
		through.mu.Unlock()
	}
	defer func() { w.carried = nil }()
	return len(w.carried)
}

var _ = Describe("A watch whose connection dies without a word", func() {
	It("is begun anew, by pings, whatever the environment says of them (R1.3, R13.4)", func(ctx SpecContext) {
		GinkgoT().Setenv("HTTP2_READ_IDLE_TIMEOUT_SECONDS", "0")
		w, through := newWorldOn(ctx, clock.RealClock{}), newWire(ctx)
		connection := rest.CopyConfig(restConfig)
		connection.Host = "https://" + through.address
		w.operate(ctx, operator.Connection(connection, time.Second))
		w.create(ctx, w.client())
		w.create(ctx, w.derived("alice"))
		Eventually(w.ready(ctx, "alice")).Should(Equal(ready))

		Expect(through.cut()).NotTo(BeZero())
		w.create(ctx, w.derived("bob"))
		w.create(ctx, w.anonymous("carol"))
		for _, name := range []string{"bob", "carol"} {
			Eventually(w.ready(ctx, name)).WithTimeout(time.Minute).Should(Equal(ready))
		}
		w.provesItself(ctx)
		Expect(w.tokenRequests()).To(Equal(map[string]int{"alice": 1, "bob": 1, "an account": 1, "makes accounts": 1}))
	})
})
