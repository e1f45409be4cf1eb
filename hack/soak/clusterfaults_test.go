package main

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/hack/internal/cluster"
	"github.com/gini-operator/gini-operator/hack/internal/narration"
)

// stage is a soak whose cluster is a fake one, with all objects and accounts.
func stage(t *testing.T) *soak {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, api.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	s := &soak{
		out: narration.New(io.Discard, noon), ginis: newGinis(), excuses: &excuses{}, faults: &faultCounts{byName: map[string]int{}},
		generations: map[*application]int{}, deleted: map[*user][]string{},
	}
	s.applications, s.users = populate(s.ginis, fewestUsers)
	with := fake.NewClientBuilder().WithScheme(scheme)
	for _, a := range s.applications {
		with.WithObjects(a.object())
	}
	for _, u := range s.users {
		with.WithObjects(u.object())
		if !u.managed() {
			continue
		}
		id, ok := u.application.gini.server.AddAccount(u.application.clientID, u.email(), u.password())
		if !ok {
			t.Fatalf("%s cannot have an account", u.name)
		}
		with.WithObjects(&corev1.Secret{ObjectMeta: meta(u.accountSecret()), Data: map[string][]byte{"user_id": []byte(id)}})
	}
	for _, u := range s.users {
		for _, d := range u.devices {
			with.WithObjects(&corev1.Secret{ObjectMeta: meta(d.secret)})
		}
	}
	s.cluster = &cluster.Cluster{Client: with.Build()}
	return s
}

// TestFaultsAskAnew: what a fault has renewed is not held against the operator, and nothing else is let go with it.
func TestFaultsAskAnew(t *testing.T) {
	for name, want := range map[string]func(devices map[*device]int) bool{
		"Secret deleted":      func(devices map[*device]int) bool { return len(devices) == 1 && most(devices) == 1 },
		"Secret edited":       func(devices map[*device]int) bool { return len(devices) == 1 && most(devices) == 1 },
		"GiniUser made again": func(devices map[*device]int) bool { return oneUser(devices) && most(devices) == 2 },
		"refresh requested":   func(devices map[*device]int) bool { return oneUser(devices) && most(devices) == 1 },
		"account deleted":     func(devices map[*device]int) bool { return oneUser(devices) && most(devices) == 1 },
		"key rolled":          func(devices map[*device]int) bool { return onlyJWTs(devices) && most(devices) <= 1 },
	} {
		for seed := range uint64(3) {
			s := stage(t)
			if err := faultCalled(name).inject(t.Context(), s, rand.New(rand.NewPCG(seed, 0))); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			devices := map[*device]int{}
			for _, u := range s.users {
				for _, d := range u.devices {
					if d.unplanned > 0 {
						devices[d] = d.unplanned
					}
				}
			}
			if !want(devices) {
				t.Errorf("%s: %v", name, devices)
			}
		}
	}
}

// TestAccountsAreDeletedOnce: an account that is gone is left alone until the operator has made another one, as is one that it just makes.
func TestAccountsAreDeletedOnce(t *testing.T) {
	s := stage(t)
	draw := rand.New(rand.NewPCG(1, 2))
	managed := 0
	for _, u := range s.users {
		if u.managed() {
			managed++
		}
	}
	f := faultCalled("account deleted")
	for range managed {
		if err := f.inject(t.Context(), s, draw); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.deleted) != managed {
		t.Errorf("%d of %d users have lost an account", len(s.deleted), managed)
	}
	if err := f.inject(t.Context(), s, draw); err == nil || !strings.Contains(err.Error(), "no user has an account") {
		t.Error(err)
	}
	for _, u := range s.users { // one has another account, and one is about to
		if !u.managed() {
			continue
		}
		id := ""
		if managed--; managed == 0 {
			id, _ = u.application.gini.server.AddAccount(u.application.clientID, u.email(), u.password())
		}
		secret := &corev1.Secret{ObjectMeta: meta(u.accountSecret()), Data: map[string][]byte{"user_id": []byte(id)}}
		if err := s.cluster.Client.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.inject(t.Context(), s, draw); err != nil {
		t.Error(err)
	}
	again := 0
	for _, ids := range s.deleted {
		again += len(ids) - 1
	}
	if again != 1 {
		t.Errorf("%d accounts were deleted again", again)
	}
}

func faultCalled(name string) fault {
	for _, f := range allFaults() {
		if f.name == name {
			return f
		}
	}
	panic(name)
}

func most(devices map[*device]int) (times int) {
	for _, n := range devices {
		times = max(times, n)
	}
	return times
}

// oneUser reports whether these are all the devices of one user.
func oneUser(devices map[*device]int) bool {
	for d := range devices {
		for other := range devices {
			if other.user != d.user || len(d.user.devices) != len(devices) {
				return false
			}
		}
	}
	return len(devices) > 0
}

func onlyJWTs(devices map[*device]int) bool {
	for d := range devices {
		if d.kind != byJWT {
			return false
		}
	}
	return true
}
