// A Go program that uses Gini from a pod: it asks for the documents of the user whose token is mounted, once a second.
//
//	GINI_TOKEN_DIR  the folder where the Secret is mounted
//	GINI_URL        Gini's Pay API: https://pay-api.gini.net
//	GINI_REQUESTS   end after so many requests; never, where it is not set
//
// All that is needed to send the newest token, and to repeat a request that was refused, is in newClient.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/gini-operator/gini-operator/pkg/tokenfile"
)

const (
	pause   = time.Second
	timeout = 30 * time.Second
	// maxRead is how much of an answer is read.
	maxRead = 1 << 20
)

func main() {
	if err := run(context.Background(), os.Getenv("GINI_TOKEN_DIR"), os.Getenv("GINI_URL"), os.Getenv("GINI_REQUESTS")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, folder, url, requests string) error {
	limit := 0
	if requests != "" {
		var err error
		if limit, err = strconv.Atoi(requests); err != nil {
			return fmt.Errorf("GINI_REQUESTS: %w", err)
		}
	}
	source, err := tokenfile.Open(folder)
	if err != nil {
		return err
	}
	client, err := newClient(source, url)
	if err != nil {
		return err
	}
	out := log.New(os.Stdout, "", 0)
	for n := 1; ; n++ {
		status, err := documents(ctx, client, url)
		now := time.Now().UTC().Format(time.RFC3339)
		if err != nil {
			out.Println(now, "failed:", err)
		} else {
			out.Println(now, status)
		}
		if n == limit {
			return nil
		}
		time.Sleep(pause)
	}
}

// newClient sends the token of source to url, and to no other host.
func newClient(source *tokenfile.Source, url string) (*http.Client, error) {
	transport, err := tokenfile.NewTransport(source, tokenfile.WithOrigins(url))
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: transport, Timeout: timeout}, nil
}

// documents asks for the documents and gives the status.
func documents(ctx context.Context, client *http.Client, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/documents", http.NoBody) //nolint:gosec // the URL that the program was told to use
	if err != nil {
		return 0, err
	}
	req.Header.Set("Accept", "application/vnd.gini.v1+json")
	res, err := client.Do(req) //nolint:gosec // as above
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, maxRead))
	return res.StatusCode, err
}
