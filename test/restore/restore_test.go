package restore_test

import (
	"context"
	"math/rand/v2"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// seed makes the orders in which specs restore: the same ones each time, so that a failure comes again.
const seed = 20261125

// before is what there was before everything was lost.
type before struct {
	secrets map[string]map[string]string
	mark    emulator.Mark
}

func (w *world) remember(ctx context.Context) before {
	GinkgoHelper()
	return before{secrets: w.secrets(ctx), mark: w.gini.Mark()}
}

// expectUnharmed proves, once all users are ready and the operator has ended, that all is as it was before: accounts, keys and tokens.
func (w *world) expectUnharmed(ctx context.Context, was before) {
	GinkgoHelper()
	w.expectSameAccounts(was.mark)
	Expect(w.logins(was.mark)).To(BeZero(), "every token is still valid")
	after := w.secrets(ctx)
	Expect(after).To(HaveKeyWithValue("acme-key", was.secrets["acme-key"]), "R3.11: a signing key is made once")
	Expect(after).To(Equal(was.secrets))
	w.expectOwners(ctx)
}

// expectOwners proves that the garbage collector will know what to do.
func (w *world) expectOwners(ctx context.Context) {
	GinkgoHelper()
	uids := map[string]string{}
	users := &api.GiniUserList{}
	Expect(k8s.List(ctx, users, client.InNamespace(w.namespace))).To(Succeed())
	for i := range users.Items {
		uids[users.Items[i].Name] = string(users.Items[i].UID)
	}
	secrets := &corev1.SecretList{}
	Expect(k8s.List(ctx, secrets, client.InNamespace(w.namespace))).To(Succeed())
	owners := map[string]string{}
	for i := range secrets.Items {
		if owner := metav1.GetControllerOf(&secrets.Items[i]); owner != nil {
			owners[secrets.Items[i].Name] = string(owner.UID)
		}
	}
	Expect(owners).To(Equal(map[string]string{
		"alice-token": uids["alice"], "alice-backend": uids["alice"], "carol-token": uids["carol"], "dave-token": uids["dave"],
		"iris-token": uids["iris"], "jane-token": uids["jane"], "jane-backend": uids["jane"],
	}))
}

var _ = Describe("A backup without status and owner references, restored with new UIDs", func() {
	It("brings everything back unharmed with its Secrets first, while the operator runs (R3.10, R3.11)", func(ctx SpecContext) {
		w, stop := newWorld(ctx)
		stop()
		saved, was, random := w.backUp(ctx), w.remember(ctx), rand.New(rand.NewPCG(seed, 1))
		for range 3 {
			w.loseObjects(ctx)
			stop = w.operate(ctx)
			w.restore(ctx, shuffled(random, saved.secrets)...)
			w.restore(ctx, shuffled(random, append(saved.clients, saved.users...))...)
			w.expectReady(ctx)
			stop()
			w.expectUnharmed(ctx, was)
		}
	})

	It("brings everything back unharmed in any order while the operator is stopped (R3.10, R3.11)", func(ctx SpecContext) {
		w, stop := newWorld(ctx)
		stop()
		saved, was, random := w.backUp(ctx), w.remember(ctx), rand.New(rand.NewPCG(seed, 2))
		for range 4 {
			w.loseObjects(ctx)
			w.restore(ctx, shuffled(random, saved.all())...)
			stop = w.operate(ctx)
			w.expectReady(ctx)
			stop()
			w.expectUnharmed(ctx, was)
		}
	})

	It("brings a user with an Existing account back in any order while the operator runs (R3.8, R3.10)", func(ctx SpecContext) {
		w, stop := newWorld(ctx)
		stop()
		saved, random := w.backUp(ctx), rand.New(rand.NewPCG(seed, 3))
		const client, credentials, user, account, token = "acme", "acme-gini", "dave", "dave-account", "dave-token"
		w.loseObjects(ctx)
		w.operate(ctx)
		for range 8 {
			mark, restored, needed := w.gini.Mark(), map[string]bool{}, 0
			for _, object := range shuffled(random, saved.named(client, credentials, user, account, token)) {
				w.restore(ctx, object)
				if restored[object.GetName()] = true; !restored[user] {
					continue
				}
				switch { // after each step the operator does what can be done
				case !restored[client]:
					w.expectReason(ctx, user, "False "+api.ReasonClientNotFound)
				case !restored[credentials]:
					w.expectReason(ctx, user, "False "+api.ReasonClientSecretNotFound)
				case !restored[account]:
					w.expectReason(ctx, user, "False "+api.ReasonAccountSecretNotFound)
				default:
					w.expectReady(ctx, user)
					if !restored[token] {
						needed = 1 // nobody knows yet that there will be a token
					}
				}
			}
			w.expectSameAccounts(mark)
			Expect(w.logins(mark)).To(Equal(needed))
			w.loseObjects(ctx)
		}
	})

	It("costs no login although the operator's view of the Secrets lags behind (R3.10)", func(ctx SpecContext) {
		w, stop := newWorld(ctx)
		stop()
		saved, was := w.backUp(ctx), w.remember(ctx)
		w.loseObjects(ctx)
		lag := &watchLag{resource: "secrets"}
		w.wrap = lag.wrap
		stop = w.operate(ctx)
		w.restore(ctx, append(saved.named("acme", "acme-gini", "acme-key"), saved.named("iris-identifier")...)...)
		w.expectJWKSet(ctx)
		release := lag.hold()
		w.restore(ctx, saved.all()...)
		w.expectReady(ctx, "alice", "carol", "jane", "iris", "rita")
		w.expectReason(ctx, "dave", "False "+api.ReasonAccountSecretNotFound)
		release()
		w.expectReady(ctx)
		stop()
		w.expectUnharmed(ctx, was)
	})

	It("costs one login for each token that has expired since, and no account (R3.10, R3.11)", func(ctx SpecContext) {
		w, stop := newWorld(ctx)
		stop()
		saved, was := w.backUp(ctx), w.remember(ctx)
		w.loseObjects(ctx)
		w.clock.step(lifetime + time.Hour)
		stop = w.operate(ctx)
		w.restore(ctx, saved.secrets...)
		w.restore(ctx, saved.clients...)
		w.expectJWKSet(ctx)
		w.restore(ctx, saved.users...)
		w.expectReady(ctx)
		stop()
		w.expectSameAccounts(was.mark)
		Expect(w.logins(was.mark)).To(Equal(len(tokens)))
		after := w.secrets(ctx)
		for _, name := range tokens {
			Expect(after[name]["access_token"]).NotTo(BeElementOf("", was.secrets[name]["access_token"]), name)
		}
		for _, name := range []string{"acme-key", "carol-account", "dave-account", "alice-backend"} {
			Expect(after).To(HaveKeyWithValue(name, was.secrets[name]))
		}
		w.expectOwners(ctx)
	})
})

var _ = Describe("A backup with owner references of users that are gone", func() {
	It("costs the tokens, which the garbage collector takes, and no account (R3.10)", func(ctx SpecContext) {
		w, stop := newWorld(ctx)
		stop()
		saved, was := w.backUp(ctx), w.remember(ctx)
		gone := true
		for _, secret := range saved.named(owned...) {
			secret.SetOwnerReferences([]metav1.OwnerReference{{
				APIVersion: api.GroupVersion.String(), Kind: "GiniUser", Name: secret.GetLabels()[api.UserLabel], UID: "a-former-one", Controller: &gone,
			}})
		}
		w.loseObjects(ctx)
		w.restore(ctx, saved.all()...)
		Eventually(w.names(ctx)).WithTimeout(patience).Should(ConsistOf(kept))
		w.operate(ctx)
		w.expectReady(ctx)
		w.expectSameAccounts(was.mark)
		Expect(w.logins(was.mark)).To(Equal(len(tokens)-1), "the one that is retained is still valid")
		after := w.secrets(ctx)
		for _, name := range kept {
			Expect(after).To(HaveKeyWithValue(name, was.secrets[name]))
		}
		w.expectOwners(ctx)
	})
})
