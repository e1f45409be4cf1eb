package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// OperatorBinary is what `make build` builds.
const OperatorBinary = "bin/manager"

// stopPatience is how long the operator may take to end by itself.
const stopPatience = 15 * time.Second

// tailLines is how much of the operator's log a failure shows.
const tailLines = 12

// Operator is the operator as a process.
type Operator struct {
	command *exec.Cmd
	log     *os.File
	// ended is closed once the process has ended.
	ended chan struct{}
}

// StartOperator starts the operator with the rights it gets by Install, and adds what it says to a log file.
func (c *Cluster) StartOperator(logFile string, arguments ...string) (*Operator, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // the folder is ours
	if err != nil {
		return nil, err
	}
	o := &Operator{log: log, ended: make(chan struct{})}
	//nolint:gosec,noctx // the arguments are ours; the process is stopped by Stop, after everything that needs it
	o.command = exec.Command(OperatorBinary, append([]string{"--kubeconfig", c.OperatorConfig}, arguments...)...)
	o.command.Stdout, o.command.Stderr = log, log
	// Ctrl-C in a terminal reaches a whole process group: in one of its own, the operator is stopped in its turn.
	o.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := o.command.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	go func() {
		_ = o.command.Wait() // ProcessState says the same
		close(o.ended)
	}()
	return o, nil
}

// FreeAddress is where somebody can listen: others are told of it before there is a listener.
func FreeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// PID is the process id.
func (o *Operator) PID() int { return o.command.Process.Pid }

// Log is the path of the log file.
func (o *Operator) Log() string { return o.log.Name() }

// Ended is closed once the process has ended.
func (o *Operator) Ended() <-chan struct{} { return o.ended }

// State is how the process ended; only once it has.
func (o *Operator) State() *os.ProcessState { return o.command.ProcessState }

// Signal sends the process a signal.
func (o *Operator) Signal(signal syscall.Signal) error { return o.command.Process.Signal(signal) }

// Watch gives a context that ends with the operator.
func (o *Operator) Watch(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-o.ended:
			cancel(fmt.Errorf("the operator has ended by itself: %v", o.command.ProcessState))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Stop ends the process, by force where it does not end by itself.
func (o *Operator) Stop() {
	_ = o.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-o.ended:
	case <-time.After(stopPatience):
		_ = o.command.Process.Kill()
		<-o.ended
	}
	_ = o.log.Close()
}

// Advice keeps a copy of the log after a failure, and says where it is and how it ends.
func (o *Operator) Advice(kept string) string {
	data, err := os.ReadFile(o.log.Name())
	if err == nil {
		err = os.WriteFile(kept, data, 0o600) //nolint:gosec // the caller's path
	}
	if err != nil {
		return "the operator's log cannot be kept: " + err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return fmt.Sprintf("The operator's log is %s. It ends with:\n%s", kept, strings.Join(lines[max(0, len(lines)-tailLines):], "\n"))
}
