package controller_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

func sticky(lifetime time.Duration) emulator.Behaviour {
	return emulator.Behaviour{Mode: emulator.Sticky, Lifetime: lifetime}
}

// refresh sets the annotation that asks for a new token, and reconciles.
func (w *world) refresh(ctx context.Context, name, value string) *api.GiniUser {
	GinkgoHelper()
	return w.edit(ctx, name, func(user *api.GiniUser) {
		user.Annotations = map[string]string{api.RefreshRequestedAnnotation: value}
	})
}

// run reconciles a user whenever it asks for it, for a while, and returns the moments of its logins.
func (w *world) run(ctx context.Context, name string, duration time.Duration) []time.Time {
	GinkgoHelper()
	var logins []time.Time
	for end := w.clock.Now().Add(duration); w.clock.Now().Before(end); {
		mark := w.gini.Mark()
		result := w.reconcile(ctx, name)
		for range w.gini.Since(mark).Count(emulator.Login, emulator.PasswordLogin) {
			logins = append(logins, w.clock.Now())
		}
		// The agenda's sweep comes every ten seconds; what is due earlier is asked for.
		step := 10 * time.Second
		if result.RequeueAfter > 0 {
			step = min(step, result.RequeueAfter)
		}
		w.clock.Step(step)
	}
	return logins
}

// passing is a clock on which time passes at every look.
type passing struct{ *testclock.FakeClock }

func (c passing) Now() time.Time {
	c.Step(time.Millisecond)
	return c.FakeClock.Now()
}

var _ = Describe("Renewal", func() {
	It("is not left to the next sweep where it becomes due while a reconcile looks at what was before (R1.3)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.reconciled(ctx, w.derived("alice"))
		annotations := w.stored(ctx, "alice-token").Annotations
		due, err := time.Parse(time.RFC3339Nano, annotations[api.RefreshAtAnnotation])
		Expect(err).NotTo(HaveOccurred())
		first := annotations[api.FingerprintAnnotation]
		w.users.Clock = passing{w.clock}
		for early := 5 * time.Millisecond; early > 0; early -= time.Millisecond {
			w.clock.SetTime(due.Add(-early))
			result := w.reconcile(ctx, "alice")
			Expect(w.stored(ctx, "alice-token").Annotations[api.FingerprintAnnotation] != first || result.RequeueAfter > 0).To(BeTrue(),
				"%s before it is due nothing was renewed, and nobody comes again before the sweep", early)
		}
	})

	It("recognises sticky tokens, and renews them when they end", func(ctx SpecContext) {
		w := newWorld(ctx, emulator.WithLogin(sticky(10*time.Minute)))
		w.giniClient(ctx)
		user := w.reconciled(ctx, w.derived("alice"))
		first := w.data(ctx, "alice-token")["access_token"]

		logins := w.run(ctx, "alice", 47*time.Minute)
		user = w.user(ctx, user.Name)
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		Expect(condition(user.Status.Conditions, api.ConditionSecretsWritten)).To(Equal("True StickyTokens"))
		Expect(w.clientReconciled(ctx).Status.TokenBehaviour.Login.Mode).To(Equal(api.StickyTokens))
		Expect(w.data(ctx, "alice-token")["access_token"]).NotTo(Equal(first))
		// One login finds out that tokens are sticky; from then on there is one for each expiry.
		Expect(logins).To(HaveLen(5), fmt.Sprint(logins))
		for i := 2; i < len(logins); i++ {
			Expect(logins[i].Sub(logins[i-1])).To(And(BeNumerically(">=", 10*time.Minute), BeNumerically("<=", 10*time.Minute+2*time.Second)), "the gap")
		}
		Expect(w.use(ctx, map[string]string{"Authorization": w.data(ctx, "alice-token")["authorization"]})).To(Equal(200))
	})

	It("does what the annotation asks for, once, and says what came of it", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.reconciled(ctx, w.derived("alice"))
		before := w.data(ctx, "alice-token")["access_token"]
		w.told()

		user := w.refresh(ctx, "alice", "now")
		Expect(w.data(ctx, "alice-token")["access_token"]).NotTo(Equal(before))
		Expect(user.Status.LastHandledRefreshRequest).To(Equal("now"))
		Expect(w.stored(ctx, "alice-token").Annotations).To(HaveKeyWithValue(api.RefreshHandledAnnotation, "now"))
		Expect(w.told()).To(ContainElement(HavePrefix("Normal TokenRefreshed")))

		mark := w.gini.Mark()
		w.reconcile(ctx, "alice")
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
	})

	It("takes long requests that differ late for two, and each for one", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.reconciled(ctx, w.derived("alice"))
		long := strings.Repeat("ü", 128) // 256 bytes
		for _, request := range []string{long, long + "1", long + "2", strings.Repeat("x", 100_000) + "1", strings.Repeat("x", 100_000) + "2"} {
			before := w.data(ctx, "alice-token")["access_token"]
			user := w.refresh(ctx, "alice", request)
			Expect(w.data(ctx, "alice-token")["access_token"]).NotTo(Equal(before))
			echo := user.Status.LastHandledRefreshRequest
			Expect(w.stored(ctx, "alice-token").Annotations).To(HaveKeyWithValue(api.RefreshHandledAnnotation, echo))
			mark := w.gini.Mark()
			w.restart()
			w.reconcile(ctx, "alice")
			Expect(w.gini.Since(mark).Requests()).To(BeZero())
		}
	})

	It("says that the annotation had no effect where Gini gives the same token", func(ctx SpecContext) {
		w := newWorld(ctx, emulator.WithLogin(sticky(time.Hour)))
		w.giniClient(ctx)
		w.reconciled(ctx, w.derived("alice"))
		before := w.data(ctx, "alice-token")["access_token"]
		w.told()
		user := w.refresh(ctx, "alice", "please")
		Expect(w.data(ctx, "alice-token")).To(HaveKeyWithValue("access_token", before))
		Expect(user.Status.LastHandledRefreshRequest).To(Equal("please"))
		Expect(w.told()).To(ContainElement(HavePrefix("Warning RefreshHadNoEffect")))
		Expect(ready(user)).To(Equal("True CredentialsReady"))
	})

	It("uses the refresh token of the answer at hand, and stores none", func(ctx SpecContext) {
		behaviour := sticky(time.Hour)
		behaviour.Refresh, behaviour.RefreshLifetime = emulator.RefreshStable, 30*24*time.Hour
		w := newWorld(ctx, emulator.WithLogin(behaviour))
		w.giniClient(ctx)
		w.reconciled(ctx, w.derived("alice"))
		before := w.data(ctx, "alice-token")["access_token"]
		w.refresh(ctx, "alice", "please")
		data := w.data(ctx, "alice-token")
		Expect(data["access_token"]).NotTo(Equal(before))
		Expect(data).NotTo(HaveKey("refresh_token"))
		Expect(w.gini.Ledger().Count(emulator.Refresh)).To(Equal(1))
		Expect(w.use(ctx, map[string]string{"Authorization": data["authorization"]})).To(Equal(200))
	})

	DescribeTable("copes with whatever expires_in says",
		func(ctx SpecContext, form func(*emulator.Behaviour), secretsWritten string, lifetime time.Duration) {
			behaviour := emulator.Behaviour{Lifetime: 2 * time.Hour}
			form(&behaviour)
			w := newWorld(ctx, emulator.WithLogin(behaviour))
			w.giniClient(ctx)
			user := w.reconciled(ctx, w.derived("alice"))
			for range 3 { // a token without any lifetime left is asked for again after a second
				w.clock.Step(time.Second)
				user = w.reconciled(ctx, user)
			}
			Expect(condition(user.Status.Conditions, api.ConditionSecretsWritten)).To(Equal(secretsWritten))
			left := user.Status.Devices.Untrusted.ExpiresAt.Sub(w.clock.Now())
			Expect(left).To(BeNumerically("~", lifetime, 10*time.Second))
		},
		Entry("float", func(b *emulator.Behaviour) { b.ExpiresIn = emulator.ExpiresInFloat }, "True SecretsWritten", 2*time.Hour),
		Entry("string", func(b *emulator.Behaviour) { b.ExpiresIn = emulator.ExpiresInString }, "True SecretsWritten", 2*time.Hour),
		Entry("absent", func(b *emulator.Behaviour) { b.ExpiresIn = emulator.ExpiresInAbsent }, "True LifetimeUnknown", time.Hour),
		Entry("garbage", func(b *emulator.Behaviour) { b.ExpiresInRaw = `"soon"` }, "True LifetimeUnknown", time.Hour),
		Entry("zero for ever", func(b *emulator.Behaviour) { b.ExpiresInRaw = "0" }, "True LifetimeUnknown", time.Hour),
		Entry("negative", func(b *emulator.Behaviour) { b.ExpiresInRaw = "-5" }, "True LifetimeUnknown", time.Hour),
	)

	It("keeps Ready True through an outage while the token at hand is valid, and says what is going on", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.reconciled(ctx, w.derived("alice"))
		w.told()
		remove := w.gini.Script(emulator.Fault{Effect: emulator.Status(503, "")})
		w.clock.SetTime(user.Status.Devices.Untrusted.RefreshAt.Add(time.Second))
		user = w.suffer(ctx, "alice")
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		due := user.Status.Devices.Untrusted.RefreshAt.UTC().Format(time.RFC3339)
		Expect(meta.FindStatusCondition(user.Status.Conditions, api.ConditionReady).Message).To(And(
			HavePrefix("The token cannot be renewed since "+due+": Gini answers"), ContainSubstring("The current token in Secret alice-token is valid until")))
		Expect(condition(user.Status.Conditions, api.ConditionSecretsWritten)).To(Equal("True GiniUnavailable"))
		Expect(kstatus(user)).To(BeEquivalentTo("Current"))

		By("turning False when the token expires")
		w.clock.SetTime(user.Status.Devices.Untrusted.ExpiresAt.Add(time.Second))
		user = w.suffer(ctx, "alice")
		Expect(ready(user)).To(Equal("False GiniUnavailable"))

		By("recovering")
		remove()
		w.clock.Step(16 * time.Second)
		user = w.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("True CredentialsReady"))
	})

	It("verifies the token where asked to, and logs in again where Gini has ended it", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.derived("alice")
		user.Spec.Renewal = &api.Renewal{VerifyInterval: &metav1.Duration{Duration: time.Hour}}
		user = w.reconciled(ctx, user)
		mark := w.gini.Mark()
		w.clock.Step(time.Hour + time.Minute)
		w.reconciled(ctx, user)
		Expect(w.gini.Since(mark).Count(emulator.Documents)).To(Equal(1))
		Expect(w.gini.Since(mark).Count(emulator.Login)).To(BeZero())

		w.gini.EndAllTokens()
		w.clock.Step(time.Hour)
		w.reconciled(ctx, user)
		Expect(w.gini.Since(mark).Count(emulator.Login)).To(Equal(1))
		Expect(w.use(ctx, map[string]string{"Authorization": w.data(ctx, "alice-token")["authorization"]})).To(Equal(200))

		By("asking nothing at a restart")
		mark = w.gini.Mark()
		w.restart()
		w.reconciled(ctx, user)
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
	})
})
