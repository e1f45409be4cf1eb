package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// checkReadyCommand is the argument by which `helm test` runs the operator's image: there is no other program in it, and no shell.
const checkReadyCommand = "check-ready"

// The operator may have started a moment ago, and its Service may not lead to it yet.
const (
	readyWithin  = time.Minute
	readyPause   = time.Second
	readyRequest = 5 * time.Second
)

// checkReady asks the URL until it answers 200, and gives up when the context ends.
func checkReady(ctx context.Context, pause time.Duration, arguments ...string) error {
	if len(arguments) != 1 {
		return fmt.Errorf("%s needs one URL, as in: manager %s http://localhost:8081/readyz", checkReadyCommand, checkReadyCommand)
	}
	asked, err := url.Parse(arguments[0])
	if err != nil || asked.Host == "" || asked.Scheme != "http" && asked.Scheme != "https" {
		return fmt.Errorf("%s: %q is no URL: write http://HOST:PORT/readyz", checkReadyCommand, arguments[0])
	}
	// The operator is asked directly, whatever proxy leads out of the cluster.
	asker := &http.Client{Timeout: readyRequest, Transport: &http.Transport{}}
	for {
		failed := askReady(ctx, asker, asked.String())
		if failed == nil {
			fmt.Println("The operator is ready:", asked, "answers 200")
			return nil
		}
		if ctx.Err() == nil { // else it failed because the time is over
			err = failed
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the operator is not ready; its pods' log says why: %w", errors.Join(err, ctx.Err()))
		case <-time.After(pause):
		}
	}
}

func askReady(ctx context.Context, asker *http.Client, asked string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, asked, http.NoBody) //nolint:gosec // whoever runs the program chooses the URL
	if err != nil {
		return err
	}
	response, err := asker.Do(request) //nolint:gosec // as above
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", asked, response.Status)
	}
	return errors.Join(err, response.Body.Close())
}
