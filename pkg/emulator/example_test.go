package emulator_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// A service that logs a user in meets Gini on a bad day.
func Example() {
	gini := emulator.New(emulator.WithClient("acme", "s3cret"), emulator.WithLifetime(5*time.Minute))
	url, err := gini.Start()
	if err != nil {
		panic(err)
	}
	defer gini.Close()
	gini.Script(emulator.Fault{
		Match:  emulator.Match{Operations: []emulator.Operation{emulator.Login}, Count: 1},
		Effect: emulator.TooManyRequests(30 * time.Second),
	})

	for range 2 {
		req, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, url+"/login", nil)
		req.SetBasicAuth("acme", "s3cret")
		req.Header.Set("X-User-Identifier", "alice")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			panic(err)
		}
		res.Body.Close()
		fmt.Printf("%d, Retry-After %q\n", res.StatusCode, res.Header.Get("Retry-After"))
	}
	ledger := gini.Ledger()
	fmt.Println(ledger.TokenRequests("alice"), "token requests,", ledger.User("alice").Logins, "login,", ledger.ExpiredUses(), "uses of an expired token")
	// Output:
	// 429, Retry-After "30"
	// 200, Retry-After ""
	// 2 token requests, 1 login, 0 uses of an expired token
}
