package jwks_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/gini-operator/gini-operator/internal/jwks"
)

var (
	_ manager.Runnable               = &jwks.Server{}
	_ manager.LeaderElectionRunnable = &jwks.Server{}
)

func newServer(sets *jwks.Sets, listener net.Listener) *jwks.Server {
	return &jwks.Server{Sets: sets, Requests: jwks.NewRequests(prometheus.NewRegistry()), Log: logr.Discard(), Listener: listener}
}

func acmeOnly() *jwks.Sets {
	sets := jwks.NewSets(func(context.Context, types.NamespacedName) (bool, error) { return false, nil })
	sets.Put(acme, []byte(body))
	return sets
}

// pipes is a listener without a network: its connections are pipes, which a test's fake clock knows to wait for.
type pipes struct {
	offered  chan net.Conn
	closed   chan struct{}
	closing  sync.Once
	accepted int
}

func newPipes() *pipes {
	return &pipes{offered: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.offered:
		p.accepted++
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.closing.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8082} }

// dial returns the client's end, and what tells when the server has closed its own.
func (p *pipes) dial() (client net.Conn, closed <-chan struct{}) {
	ours, theirs := net.Pipe()
	watched := &watchedConn{Conn: theirs, closed: make(chan struct{})}
	go func() {
		select {
		case p.offered <- watched:
		case <-p.closed:
		}
	}()
	return ours, watched.closed
}

type watchedConn struct {
	net.Conn
	closed  chan struct{}
	closing sync.Once
}

func (c *watchedConn) Close() error {
	c.closing.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// run starts the server; stop ends it and waits until it has.
func run(t *testing.T, server *jwks.Server) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Start(ctx) }()
	return func() error {
		cancel()
		return <-ended
	}
}

func send(t *testing.T, conn io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, conn io.Reader) (status int, content string) {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	read, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(read)
}

const getAcme = "GET " + path + " HTTP/1.1\r\nHost: jwks.acme.example\r\n\r\n"

func TestServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(acmeOnly(), listener)
	if server.NeedLeaderElection() {
		t.Error("only the leader would serve")
	}
	stop := run(t, server)
	url := "http://" + listener.Addr().String()
	transport := &http.Transport{}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, c := range []struct {
		method, path string
		status       int
		content      string
	}{
		{http.MethodGet, path, http.StatusOK, body},
		{http.MethodHead, path, http.StatusOK, ""},
		{http.MethodPost, path, http.StatusMethodNotAllowed, "A JWK Set can only be read. Ask with GET or HEAD.\n"},
		{http.MethodHead, "/default/unknown/jwks.json", http.StatusNotFound, ""},
		{http.MethodHead, "/" + path, http.StatusNotFound, ""},
		{http.MethodHead, path + "/", http.StatusNotFound, ""},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, url+c.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != c.status || string(content) != c.content {
			t.Errorf("%s %s: %d %q, %v; want %d %q", c.method, c.path, answer.StatusCode, content, err, c.status, c.content)
		}
		if c.path == path && c.status == http.StatusOK && answer.ContentLength != int64(len(body)) {
			t.Errorf("%s: length %d", c.method, answer.ContentLength)
		}
	}
	transport.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
	if conn, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("still listening")
	}
}

// TestAddress listens where it is told to, and says where that is.
func TestAddress(t *testing.T) {
	logged := make(chan string, 1)
	server := newServer(acmeOnly(), nil)
	server.Address = "127.0.0.1:0"
	server.Log = funcr.New(func(_, line string) { logged <- line }, funcr.Options{})
	stop := run(t, server)
	line := <-logged
	address, found := strings.CutPrefix(line, `"level"=0 "msg"="Serving JWK Sets" "address"=`)
	if !found {
		t.Fatal(line)
	}
	conn, err := net.Dial("tcp", strings.Trim(address, `"`))
	if err != nil {
		t.Fatal(err)
	}
	send(t, conn, getAcme)
	if status, content := receive(t, conn); status != http.StatusOK || content != body {
		t.Errorf("%d %q", status, content)
	}
	_ = conn.Close()
	if err := stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
}

func TestAddressIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(acmeOnly(), nil)
	server.Address = taken.Addr().String()
	over, cancel := context.WithCancel(t.Context())
	cancel() // where it could listen after all, it would end at once
	err = server.Start(over)
	if err == nil || !strings.Contains(err.Error(), server.Address) || !strings.Contains(err.Error(), "--jwks-bind-address") {
		t.Errorf("%v", err)
	}
	var failure *net.OpError
	if !errors.As(err, &failure) {
		t.Errorf("%v does not wrap its cause", err)
	}
	if err := taken.Close(); err != nil {
		t.Error(err)
	}
}

func TestListenerFails(t *testing.T) {
	listener := newPipes()
	_ = listener.Close()
	err := newServer(acmeOnly(), listener).Start(t.Context())
	if !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "127.0.0.1:8082") || !strings.Contains(err.Error(), "--jwks-bind-address") {
		t.Errorf("%v", err)
	}
}

// TestTimeouts holds a connection in every way there is: the server closes each at its time.
func TestTimeouts(t *testing.T) {
	for _, c := range []struct {
		name  string
		sends string
		reads bool
		after time.Duration
	}{
		{"nothing sent", "", true, 5 * time.Second},
		{"a slow header", "GET " + path, true, 5 * time.Second},
		{"a slow body", "GET " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1", true, 10 * time.Second},
		{"an answer not read", getAcme, false, 10 * time.Second},
		{"idle", getAcme, true, 60 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				listener := newPipes()
				stop := run(t, newServer(acmeOnly(), listener))
				conn, closed := listener.dial()
				started := time.Now()
				send(t, conn, c.sends)
				if c.reads {
					go func() { _, _ = io.Copy(io.Discard, conn) }()
				}
				<-closed
				if took := time.Since(started); took != c.after {
					t.Errorf("closed after %s, want %s", took, c.after)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestLongHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newPipes()
		stop := run(t, newServer(acmeOnly(), listener))
		for length, want := range map[int]int{7 << 10: http.StatusOK, 16 << 10: http.StatusRequestHeaderFieldsTooLarge} {
			conn, _ := listener.dial()
			// The server does not read on beyond its limit, so the rest stays unsent.
			go func() {
				_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Long: %s\r\n\r\n", path, strings.Repeat("x", length))
			}()
			if status, _ := receive(t, conn); status != want {
				t.Errorf("%d bytes: %d, want %d", length, status, want)
			}
			_ = conn.Close()
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestOptionsOfServer is refused by the store like everything else, not answered by net/http.
func TestOptionsOfServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newPipes()
		stop := run(t, newServer(acmeOnly(), listener))
		conn, _ := listener.dial()
		send(t, conn, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
		if status, _ := receive(t, conn); status != http.StatusNotFound {
			t.Errorf("%d, want 404", status)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestManyConnections are served as others end.
func TestManyConnections(t *testing.T) {
	const limit, waiting = 512, 3
	synctest.Test(t, func(t *testing.T) {
		listener := newPipes()
		stop := run(t, newServer(acmeOnly(), listener))
		conns := make([]net.Conn, limit+waiting)
		for i := range conns {
			conns[i], _ = listener.dial()
		}
		synctest.Wait()
		if listener.accepted != limit {
			t.Errorf("%d connections accepted, want %d", listener.accepted, limit)
		}
		for _, conn := range conns {
			_ = conn.Close()
		}
		synctest.Wait()
		if listener.accepted != limit+waiting {
			t.Errorf("%d connections accepted at last, want %d", listener.accepted, limit+waiting)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestStopping answers what is under way, for as long as the grace lasts.
func TestStopping(t *testing.T) {
	for _, c := range []struct {
		name         string
		needs, takes time.Duration
		answered     bool
	}{
		{"in time", 4 * time.Second, 4 * time.Second, true},
		{"too late", time.Minute, 5 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				listener := newPipes()
				sets := jwks.NewSets(func(context.Context, types.NamespacedName) (bool, error) {
					<-time.After(c.needs)
					return true, nil
				})
				stop := run(t, newServer(sets, listener))
				conn, closed := listener.dial()
				send(t, conn, getAcme)
				answers := make(chan error, 1)
				go func() {
					answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err == nil {
						err = answer.Body.Close()
					}
					answers <- err
				}()
				synctest.Wait()
				started := time.Now()
				if err := stop(); err != nil {
					t.Error(err)
				}
				// net/http looks every half second at most whether all is done.
				if took := time.Since(started); took < c.takes || took > c.takes+time.Second {
					t.Errorf("stopped after %s, want %s", took, c.takes)
				}
				select {
				case <-closed:
				default:
					t.Error("the connection is left open")
				}
				if err := <-answers; (err == nil) != c.answered {
					t.Errorf("answered: %v", err)
				}
				if err := newServer(sets, listener).Start(t.Context()); !errors.Is(err, net.ErrClosed) {
					t.Errorf("the listener is left open: %v", err)
				}
				<-time.After(c.needs) // the bubble ends with all that began in it
			})
		})
	}
}

func TestRequests(t *testing.T) {
	registry := prometheus.NewRegistry()
	server := newServer(jwks.NewSets((&cluster{exists: map[types.NamespacedName]bool{{Namespace: "default", Name: "unread"}: true}}).known), nil)
	server.Sets.Put(acme, []byte(body))
	server.Requests = jwks.NewRequests(registry)
	counted := func() string {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
			t.Errorf("promlint: %v, %v", problems, err)
		}
		var all []string
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				all = append(all, fmt.Sprintf("%s %s=%s %v", family.GetName(), metric.GetLabel()[0].GetName(), metric.GetLabel()[0].GetValue(), metric.GetCounter().GetValue()))
			}
		}
		return strings.Join(all, "\n")
	}
	series := func(counts ...any) string {
		const name = "gini_jwks_requests_total code="
		return fmt.Sprintf(strings.Join([]string{name + "200 %d", name + "304 %d", name + "404 %d", name + "405 %d", name + "503 %d"}, "\n"), counts...)
	}
	if got, want := counted(), series(0, 0, 0, 0, 0); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	synctest.Test(t, func(t *testing.T) {
		listener := newPipes()
		server.Listener = listener
		stop := run(t, server)
		conn, _ := listener.dial()
		for _, request := range []string{
			getAcme, getAcme, "GET " + path + " HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
			"DELETE " + path + " HTTP/1.1\r\nHost: a\r\n\r\n", "GET /default/unread/jwks.json HTTP/1.1\r\nHost: a\r\n\r\n",
		} {
			send(t, conn, request)
			receive(t, conn)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	if got, want := counted(), series(2, 1, 1, 1, 1); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
