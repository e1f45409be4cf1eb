package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// stopPatience is how long the operator may take to end by itself.
const stopPatience = 15 * time.Second

// tailLines is how much of the operator's log a failure shows.
const tailLines = 12

// operator is the operator as a process.
type operator struct {
	command *exec.Cmd
	log     *os.File // in a folder that is removed at the end
	// ended is closed once the process has ended.
	ended chan struct{}
}

func startOperator(dir, kubeconfig, giniURL, jwksAddress string) (*operator, error) {
	log, err := os.Create(filepath.Join(dir, "operator.log")) //nolint:gosec // the folder is ours
	if err != nil {
		return nil, err
	}
	o := &operator{log: log, ended: make(chan struct{})}
	//nolint:gosec,noctx // the arguments are ours; the process is stopped by stop, after everything that needs it
	o.command = exec.Command(operatorBinary, "--kubeconfig", kubeconfig, "--allowed-hosts", giniURL,
		"--jwks-bind-address", jwksAddress, "--metrics-bind-address=0", "--health-probe-bind-address=0")
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

// freeAddress is where the operator can serve JWK Sets: Gini is told of it before there is an operator.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func (o *operator) pid() int { return o.command.Process.Pid }

// watch gives a context that ends with the operator.
func (o *operator) watch(ctx context.Context) (context.Context, func()) {
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

// stop ends the process, by force where it does not end by itself.
func (o *operator) stop() {
	_ = o.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-o.ended:
	case <-time.After(stopPatience):
		_ = o.command.Process.Kill()
		<-o.ended
	}
	_ = o.log.Close()
}

// advice keeps the log after a failure, and says where it is and how it ends.
func (o *operator) advice() string {
	data, err := os.ReadFile(o.log.Name())
	if err == nil {
		err = os.WriteFile(keptLog, data, 0o600) //nolint:gosec // a constant path
	}
	if err != nil {
		return "the operator's log cannot be kept: " + err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return fmt.Sprintf("The operator's log is %s. It ends with:\n%s", keptLog, strings.Join(lines[max(0, len(lines)-tailLines):], "\n"))
}
