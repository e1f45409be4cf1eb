package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"syscall"
)

// Failure says in what way an exchange broke. The transport's error itself is never handed on: it may quote anything.
type Failure string

// The ways in which an exchange breaks.
const (
	// Complete is no failure: an answer came, to its end or to MaxBody.
	Complete Failure = ""
	// Unreachable: name not resolved, connection refused, reset or cut, a proxy that will not connect, an address that
	// Config.AllowAddress refuses.
	Unreachable Failure = "Unreachable"
	// TLS: no trust in the host's certificate, or no agreement in the handshake.
	TLS Failure = "TLS"
	// Timeout: Config.ConnectTimeout or the deadline of the request's context has passed.
	Timeout Failure = "Timeout"
	// NotHTTP: something answers, but not in HTTP as it is written.
	NotHTTP Failure = "NotHTTP"
)

// progress is how far an exchange came; the transport reports it from goroutines of its own.
type progress struct {
	handshakeFailed, answered atomic.Bool
	multiplexed               bool // HTTP/2
}

func (p *progress) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err != nil {
				p.handshakeFailed.Store(true)
			}
		},
		GotFirstResponseByte: func() { p.answered.Store(true) },
	})
}

// classify sorts the transport's errors by their types, and where those are not exported by how far the exchange came.
func (p *progress) classify(err error) Failure {
	_, isName := errors.AsType[*net.DNSError](err)
	_, isCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, isRecord := errors.AsType[tls.RecordHeaderError](err)
	operation, isOperation := errors.AsType[*net.OpError](err)
	isAlert := isOperation && (operation.Op == "remote error" || operation.Op == "local error") // crypto/tls names alerts so
	slow, isNet := errors.AsType[net.Error](err)
	_, isCall := errors.AsType[syscall.Errno](err)
	switch {
	case isName:
		return Unreachable
	case isCertificate, isAlert, isRecord, errors.Is(err, http.ErrSchemeMismatch):
		return TLS
	case isNet && slow.Timeout():
		return Timeout
	case isNet, isCall, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Unreachable // cut in the middle of a handshake as well
	case p.handshakeFailed.Load():
		return TLS
	case p.answered.Load() && !p.multiplexed: // headers or chunks that are not HTTP
		return NotHTTP
	}
	return Unreachable
}
