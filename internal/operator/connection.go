package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Silence is how long a connection to the API server may say nothing before it is asked whether it is alive, and how long it has for that.
// A watch whose connection dies without a word is begun anew after twice as long.
const Silence = 15 * time.Second

// Connection is a configuration whose connections notice that they are dead: those of HTTP/2 by pings, and any by TCP keep-alives, where
// a proxy speaks HTTP/1 only. client-go would do half of that, as long as no variable of the environment turns it off.
func Connection(config *rest.Config, silence time.Duration) *rest.Config {
	config = rest.CopyConfig(config)
	config.Dial = (&net.Dialer{
		Timeout:         30 * time.Second,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silence, Interval: silence / 3, Count: 3},
	}).DialContext // makes it a transport of its own as well, that nobody else uses yet
	config.Wrap(func(over http.RoundTripper) http.RoundTripper {
		if transport, ok := innermost(over).(*http.Transport); ok {
			transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: silence, PingTimeout: silence}
		}
		return over
	})
	return config
}

// innermost is the transport that others are wrapped around.
func innermost(over http.RoundTripper) http.RoundTripper {
	for {
		wrapper, ok := over.(utilnet.RoundTripperWrapper)
		if !ok {
			return over
		}
		over = wrapper.WrappedRoundTripper()
	}
}

// errNoAPIServer is what is wrong with an answer that says nothing that an API server would.
var errNoAPIServer = errors.New("what answered is no Kubernetes API server")

// unasked says what to look at if a server does not say what it serves. A proxy for the outside world is the usual cause: it refuses, or
// answers itself.
func unasked(config *rest.Config, server *url.URL) string {
	text := fmt.Sprintf("the API server %s://%s does not say what it serves", server.Scheme, server.Host)
	choose := config.Proxy
	if choose == nil {
		choose = utilnet.NewProxierWithNoProxyCIDR(http.ProxyFromEnvironment) // as client-go chooses
	}
	proxy, err := choose(&http.Request{URL: server})
	switch {
	case err != nil || proxy == nil:
		return text + ". Does it run, and may the operator connect to it? It is asked again"
	case config.Proxy != nil:
		return fmt.Sprintf("%s, asked by way of the proxy %s, which the kubeconfig names as proxy-url. It is asked again", text, proxy.Host)
	}
	return fmt.Sprintf("%s, asked by way of the proxy %s of HTTPS_PROXY or HTTP_PROXY. Add %s to NO_PROXY, unless that is the only way to it. "+
		"It is asked again", text, proxy.Host, server.Hostname())
}

// answer says what came back. A page that no API server wrote is not shown: it may repeat what it was sent.
func answer(err error) error {
	var status apierrors.APIStatus
	var syntax *json.SyntaxError
	switch {
	case apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) && errors.As(err, &status):
		code := int(status.Status().Code)
		return fmt.Errorf("HTTP status %d %s: %w", code, http.StatusText(code), errNoAPIServer)
	case errors.As(err, &status):
		return fmt.Errorf("HTTP status %d: %w", status.Status().Code, err)
	case errors.As(err, &syntax):
		return fmt.Errorf("%w: the answer is not JSON", errNoAPIServer)
	}
	return err
}

// readTimeout bounds a live read: a connection that takes requests and never answers must not hold a worker, or a turn in a lane, for ever.
const readTimeout = 30 * time.Second

// bounded reads from the API server, within a time.
type bounded struct{ reader client.Reader }

// Get implements client.Reader.
func (b bounded) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return b.reader.Get(ctx, key, object, options...)
}

// List implements client.Reader.
func (b bounded) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return b.reader.List(ctx, list, options...)
}
