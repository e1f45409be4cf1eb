package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	useTimeout = 10 * time.Second
	// tokensKept is how many tokens of a folder are told of one by one: those of a day, where each lives a minute and a half.
	tokensKept = 1000
)

// counts are what became of the uses of one folder.
type counts struct {
	Kind kind `json:"kind"`
	// Uses are all; each was Accepted, Refused, Unanswered or Unreadable.
	Uses     int `json:"uses"`
	Accepted int `json:"accepted"`
	// Refused counts answers other than 200, by status.
	Refused map[string]int `json:"refused"`
	// Unanswered counts uses without an answer, Unreadable those for which the folder held no credential.
	Unanswered int `json:"unanswered"`
	Unreadable int `json:"unreadable"`
	// DistinctTokens counts the tokens that the folder has held, a change back included.
	DistinctTokens int `json:"distinctTokens"`
	// Tokens are the last thousand of them, oldest first.
	Tokens []token `json:"tokens"`
}

// token is one that a folder held.
type token struct {
	Fingerprint string `json:"fingerprint"`
	// FirstSeen is when the folder was first seen to hold it, WrittenAt when the kubelet wrote the file.
	FirstSeen time.Time `json:"firstSeen"`
	WrittenAt time.Time `json:"writtenAt"`
}

// device uses one folder.
type device struct {
	folder
	gini gini
	log  *slog.Logger

	mu  sync.Mutex
	saw counts
}

// devices makes one for each folder. They share connections, as the users of one program would.
func (o *options) devices(log *slog.Logger) ([]*device, error) {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("the default transport is not Go's own")
	}
	transport = transport.Clone()
	transport.MaxIdleConnsPerHost = len(o.folders)
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	made := make([]*device, 0, len(o.folders))
	for _, f := range o.folders {
		made = append(made, &device{folder: f, log: log.With("dir", f.name), saw: counts{Refused: map[string]int{}}, gini: o.giniOf(f, client)})
	}
	return made, nil
}

// giniOf is how a folder's credential reaches Gini.
func (o *options) giniOf(f folder, client *http.Client) gini {
	files := &plain{folder: f.path, url: o.giniURL, http: client}
	if mode(o.mode) == plainFiles {
		return files
	}
	return &mounted{plain: files}
}

// look notes a token that the folder did not hold before. It does not wait for Gini, so that the instant is right.
func (d *device) look(context.Context) {
	now, err := readFiles(d.path)
	if err != nil {
		return // a use will count it
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if last := len(d.saw.Tokens) - 1; last >= 0 && d.saw.Tokens[last].Fingerprint == now.fingerprint {
		return
	}
	d.saw.Kind = now.kind
	d.saw.DistinctTokens++
	seen := token{Fingerprint: now.fingerprint, FirstSeen: time.Now().UTC(), WrittenAt: now.written.UTC()}
	d.saw.Tokens = append(d.saw.Tokens, seen)
	if len(d.saw.Tokens) > tokensKept {
		d.saw.Tokens = slices.Delete(d.saw.Tokens, 0, 1)
	}
	d.log.Info("New token", "kind", now.kind, "fingerprint", now.fingerprint, "writtenAt", seen.WrittenAt)
}

// use asks Gini for the documents of the folder's user. One that has begun is let end when the program does.
func (d *device) use(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), useTimeout)
	defer cancel()
	answered, err := d.gini.documents(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.saw.Uses++
	var unreadable unreadableError
	switch {
	case errors.As(err, &unreadable):
		d.saw.Unreadable++
		d.log.Info("Unreadable", "error", err.Error())
	case err != nil:
		d.saw.Unanswered++
		d.log.Info("Unanswered", "fingerprint", answered.fingerprint, "error", err.Error())
	case answered.status == http.StatusOK:
		d.saw.Accepted++
	default:
		d.saw.Refused[strconv.Itoa(answered.status)]++
		d.log.Info("Refused", "status", answered.status, "fingerprint", answered.fingerprint)
	}
}

// counts are what became of the uses so far.
func (d *device) counts() counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	copied := d.saw
	copied.Refused = maps.Clone(d.saw.Refused)
	copied.Tokens = append([]token{}, d.saw.Tokens...)
	return copied
}
