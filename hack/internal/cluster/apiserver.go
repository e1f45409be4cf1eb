package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"
)

const (
	// portPatience is how long the port of an API server may take to be free once it was stopped.
	portPatience, portPause = 10 * time.Second, 50 * time.Millisecond
)

// StopAPIServer ends the API server alone, by force where it takes too long, and StartAPIServer starts it again: same address, data and certificates.
func (c *Cluster) StopAPIServer() error {
	server := c.env.ControlPlane.APIServer
	stopped := server.Stop() // where it takes too long, this is an error, and the process was killed
	for deadline := time.Now().Add(portPatience); ; time.Sleep(portPause) {
		listener, err := net.Listen("tcp", net.JoinHostPort(server.SecureServing.Address, server.SecureServing.Port))
		if err == nil {
			return listener.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the API server does not end: %w", errors.Join(stopped, err))
		}
	}
}

// StartAPIServer starts the API server that StopAPIServer has ended, and returns once it answers.
func (c *Cluster) StartAPIServer() error {
	if err := c.env.ControlPlane.APIServer.Start(); err != nil {
		return fmt.Errorf("the API server does not start again: %w; it says:\n%s", err, &c.apiServerSays)
	}
	return nil
}

// tailBytes is how much a tail keeps.
const tailBytes = 4 << 10

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

// Write implements io.Writer.
func (t *tail) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, data...)
	t.data = t.data[max(0, len(t.data)-tailBytes):]
	return len(data), nil
}

// String is the end of what was written.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.data)
}

// quietPort is a free port that no system gives to connections that go out: while an API server is stopped that is started again at the same
// port, such a connection would take its place.
func quietPort() (string, error) {
	const lowest, beyond = 20_000, 32_000
	for range 100 {
		port := strconv.Itoa(lowest + rand.IntN(beyond-lowest)) //nolint:gosec // no secret
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return "", errors.New("no free port from 20000 to 31999")
}
