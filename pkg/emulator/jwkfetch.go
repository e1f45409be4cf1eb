package emulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	fetchTimeout   = 10 * time.Second // by the real clock
	maxKeySetBytes = 256 << 10
	// defaultCacheFor is how long a JWK Set is used that comes without max-age.
	defaultCacheFor = 5 * time.Minute
	// maxCacheFor keeps an absurd max-age from overflowing a duration.
	maxCacheFor = 10 * 365 * 24 * time.Hour
)

// keySetCache has the JWK Sets by their URLs. It has a lock of its own, which is never held during a fetch.
type keySetCache struct {
	http    *http.Client
	timeout time.Duration

	mu    sync.Mutex
	byURL map[string]*cachedKeySet
}

// cachedKeySet is what was fetched last from one URL. Guarded by keySetCache.mu.
type cachedKeySet struct {
	set     *jose.JSONWebKeySet // nil: none yet
	fetched time.Time
	told    time.Duration // how long the answer allows to cache it
	running *keySetFetch  // nil: none
}

// keySetFetch is one fetch, for all who wait for it. What it brought is written before done is closed.
type keySetFetch struct {
	done chan struct{}
	set  *jose.JSONWebKeySet
	told time.Duration
	err  error
}

func newKeySetCache() *keySetCache {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true} // a fetch is rare
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &keySetCache{
		http: &http.Client{Transport: transport, CheckRedirect: noRedirect}, timeout: fetchTimeout, byURL: map[string]*cachedKeySet{},
	}
}

// get gives the JWK Set of a configuration: the cached one while it lasts, else what is fetched now. kid is the key that it is wanted for.
// One fetch for each URL is under way at a time; who comes meanwhile waits for it and shares what it brings. Who made it reports it.
func (k *keySetCache) get(
	ctx context.Context, config *JWT, kid string, now func() time.Time, report func(error),
) (*jose.JSONWebKeySet, error) {
	k.mu.Lock()
	cached := k.byURL[config.JWKSURL]
	if cached == nil {
		cached = &cachedKeySet{}
		k.byURL[config.JWKSURL] = cached
	}
	before := cached.set
	if before != nil && cached.isFresh(config, now()) && (!config.RefetchOnUnknownKey || len(before.Key(kid)) > 0) {
		k.mu.Unlock()
		return before, nil
	}
	fetch := cached.running
	if fetch == nil {
		fetch = &keySetFetch{done: make(chan struct{}), err: errors.New("the fetch did not end")}
		cached.running = fetch
		k.mu.Unlock()
		k.run(ctx, fetch, config.JWKSURL, cached, now, report)
	} else {
		k.mu.Unlock()
		<-fetch.done
	}
	if fetch.err != nil && config.StaleIfError && before != nil {
		return before, nil
	}
	return fetch.set, fetch.err
}

// isFresh tells whether a set may still be used without asking.
func (c *cachedKeySet) isFresh(config *JWT, now time.Time) bool {
	lifetime := c.told
	if config.CacheFor > 0 {
		lifetime = config.CacheFor
	}
	return now.Before(c.fetched.Add(lifetime))
}

// run fetches for all who wait. That the client of the call which began it goes away does not end it.
func (k *keySetCache) run(ctx context.Context, fetch *keySetFetch, url string, cached *cachedKeySet, now func() time.Time, report func(error)) {
	defer close(fetch.done)
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		cached.running = nil
		if fetch.err == nil {
			cached.set, cached.fetched, cached.told = fetch.set, now(), fetch.told
		}
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.timeout)
	defer cancel()
	fetch.set, fetch.told, fetch.err = k.fetch(ctx, url)
	report(fetch.err)
}

// fetch asks for a JWK Set.
func (k *keySetCache) fetch(ctx context.Context, url string) (set *jose.JSONWebKeySet, told time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := k.http.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("%s: status %d", url, res.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxKeySetBytes+1))
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", url, err)
	}
	if len(data) > maxKeySetBytes {
		return nil, 0, fmt.Errorf("%s: more than %d bytes", url, maxKeySetBytes)
	}
	if set, err = parseKeySet(data); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", url, err)
	}
	return set, cacheLifetime(res.Header.Values("Cache-Control")), nil
}

// cacheLifetime is what Cache-Control allows.
func cacheLifetime(headers []string) time.Duration {
	lifetime := defaultCacheFor
	for directive := range strings.SplitSeq(strings.ToLower(strings.Join(headers, ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			seconds, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 64)
			if err == nil && seconds >= 0 {
				lifetime = time.Duration(min(seconds, int64(maxCacheFor/time.Second))) * time.Second
			}
		}
	}
	return lifetime
}
