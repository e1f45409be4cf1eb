package tokenfile_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
	"github.com/gini-operator/gini-operator/pkg/tokenfile"
	"github.com/gini-operator/gini-operator/pkg/tokenfile/tokenfiletest"
)

// A pod's HTTP client for Gini. The emulator plays Gini here, and a temporary folder the mounted Secret.
func Example() {
	gini := emulator.New(emulator.WithClient("acme", "s3cret"))
	url := must(gini.Start())
	defer gini.Close()
	folder := must(os.MkdirTemp("", "gini"))
	defer func() { _ = os.RemoveAll(folder) }()
	mount := func() {
		token := must(loggedIn(context.Background(), url))
		check(tokenfiletest.Write(folder, tokenfiletest.AccessToken(token, time.Now().Add(time.Hour))))
	}

	mount()
	source, err := tokenfile.Open(folder) // "/var/run/gini", or wherever the pod has the Secret
	if err != nil {
		panic(err)
	}
	transport, err := tokenfile.NewTransport(source, tokenfile.WithOrigins(url)) // Gini's Pay API without the option
	if err != nil {
		panic(err)
	}
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	for range 2 {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url+"/documents", http.NoBody)
		if err != nil {
			panic(err)
		}
		req.Header.Set("Accept", "application/vnd.gini.v1+json")
		res, err := client.Do(req)
		if err != nil {
			panic(err)
		}
		res.Body.Close()
		fmt.Println(res.Status)
		mount() // the kubelet puts a renewed token there
	}
	// Output:
	// 200 OK
	// 200 OK
}

// A backend with a JWT sends it as X-JWT-Authorization.
func ExampleJWTKeys() {
	folder := must(os.MkdirTemp("", "gini"))
	defer func() { _ = os.RemoveAll(folder) }()
	check(tokenfiletest.Write(folder, tokenfiletest.JWT("e30.e30.c2ln", time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))))

	source, err := tokenfile.Open(folder, tokenfile.WithKeys(tokenfile.JWTKeys()))
	if err != nil {
		panic(err)
	}
	jwt, err := source.Current()
	if err != nil {
		panic(err)
	}
	fmt.Println(jwt.Header(), "until", jwt.ExpiresAt())
	fmt.Println(jwt)
	// Output:
	// X-JWT-Authorization until 2026-03-01 12:00:00 +0000 UTC
	// [redacted token c6b7f82b, expires 2026-03-01T12:00:00Z]
}

// Libraries that take an oauth2.TokenSource get the token of the moment.
func ExampleSource_Token() {
	folder := must(os.MkdirTemp("", "gini"))
	defer func() { _ = os.RemoveAll(folder) }()
	expiresAt := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	check(tokenfiletest.Write(folder, tokenfiletest.AccessToken("first", expiresAt)))

	source, err := tokenfile.Open(folder)
	if err != nil {
		panic(err)
	}
	for range 2 {
		token, err := source.Token()
		if err != nil {
			panic(err)
		}
		fmt.Println(token.Type(), "until", token.Expiry)
		check(tokenfiletest.Write(folder, tokenfiletest.AccessToken("second", expiresAt.Add(time.Hour))))
	}
	// Output:
	// Bearer until 2026-03-01 12:00:00 +0000 UTC
	// Bearer until 2026-03-01 13:00:00 +0000 UTC
}
