// Package emulator is a Gini for tests: a real HTTP or HTTPS server with the part of Gini's Pay API and User Center that a
// program needs to obtain and use credentials. It runs inside a Go test, on its own (cmd/gini-emulator) or as a pod.
//
//	gini := emulator.New(emulator.WithClient("acme", "s3cret"), emulator.WithLifetime(5*time.Minute))
//	url, err := gini.Start() // both the Pay API and the User Center: their paths do not collide
//	defer gini.Close()
//	…
//	gini.Script(emulator.Fault{
//		Match:  emulator.Match{Operations: []emulator.Operation{emulator.Login}, Count: 3},
//		Effect: emulator.TooManyRequests(30 * time.Second),
//	})
//	mark := gini.Mark()
//	…
//	gini.Since(mark).Requests()   // how many requests arrived meanwhile
//	gini.Ledger().ExpiredUses()   // was an expired token ever used
//
// It behaves as Gini documents itself; where that leaves a choice, [Settings] has a switch for each reading and the default is
// the likeliest one. Faults are scripted ([Server.Script]), and what happens at Gini without the client knowing has a method of its own
// ([Server.RotateSecret], [Server.DeleteAccount], [Server.EndAllTokens] and more). The [Ledger] counts every call and every use of a token.
//
// JWTs of an identity provider are taken from clients that were registered [WithJWT]: it fetches the JWK Set, caches it, and checks signature
// and claims. Where a request has X-JWT-Authorization, that is looked at, and neither Authorization nor X-User-Identifier.
//
// What it does not do: documents (the list is always empty), and limits of its own (429 comes only by script).
package emulator
