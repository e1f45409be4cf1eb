// A Go program that uses Gini from a pod: it asks for the documents of the user whose token is mounted, once a second.
//
//	GINI_TOKEN_DIR  the folder where the Secret is mounted
//	GINI_URL        Gini's Pay API: https://pay-api.gini.net
//	GINI_REQUESTS   end after so many requests; never, where it is not set
//
// It ends with exit code 2 if one of them is missing or cannot be used, and with 1 if none of the requests succeeded.
//
// All that is needed to send the newest token, and to repeat a request that was refused, is in newClient.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"regexp"
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
	folder, url, requests := os.Getenv("GINI_TOKEN_DIR"), os.Getenv("GINI_URL"), os.Getenv("GINI_REQUESTS")
	if sentence := missing(folder, url, requests); sentence != "" {
		fmt.Fprintln(os.Stderr, sentence)
		os.Exit(2)
	}
	limit, _ := strconv.Atoi(requests) // 0, where it is not set
	if err := run(context.Background(), folder, url, limit); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var (
	httpURL = regexp.MustCompile(`^https?://.`)
	count   = regexp.MustCompile(`^([1-9][0-9]{0,8})?$`)
)

// missing says what the program was not told; empty, where it knows all.
func missing(folder, url, requests string) string {
	switch {
	case folder == "":
		return "GINI_TOKEN_DIR is not set: it must name the folder where the Secret is mounted."
	case url == "":
		return "GINI_URL is not set: it must be the URL of Gini's Pay API, https://pay-api.gini.net."
	case !httpURL.MatchString(url):
		return "GINI_URL must begin with https:// or http://, as https://pay-api.gini.net does."
	case !count.MatchString(requests):
		return "GINI_REQUESTS must be a number from 1 to 999999999, or absent."
	default:
		return ""
	}
}

func run(ctx context.Context, folder, url string, limit int) error {
	source, err := tokenfile.Open(folder)
	if err != nil {
		return err
	}
	client, err := newClient(source, url)
	if err != nil {
		return err
	}
	out := log.New(os.Stdout, "", 0)
	for n, succeeded := 1, false; ; n++ {
		status, err := documents(ctx, client, url)
		succeeded = succeeded || (err == nil && status/100 == 2)
		now := time.Now().UTC().Format(time.RFC3339)
		if err != nil {
			out.Println(now, "failed:", err)
		} else {
			out.Println(now, status)
		}
		if n == limit && !succeeded {
			return errors.New("None of the requests succeeded.") //nolint:revive,staticcheck // a sentence for people, who see nothing else
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
