package operator

import (
	"context"
	"net"
	"net/http"
	"time"

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
