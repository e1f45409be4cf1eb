package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const (
	// freshRenewals and aloneRenewals are how often the tokens of each user are renewed at least while the pods use them.
	freshRenewals, aloneRenewals = 10, 3
	// longRun bounds the long run: 10 renewals of tokens of a minute take under 5 minutes, 3 of 4 minutes about as long.
	longRun = 15 * time.Minute
)

// promised is how many refused uses, at one a second, docs/delivery.md says that a renewal may cost one reader of a file at most, with nudges, where
// tokens are sticky or end with the next login.
func promised() int {
	GinkgoHelper()
	page, err := os.ReadFile(filepath.Join(root, "docs", "delivery.md"))
	Expect(err).NotTo(HaveOccurred())
	found := regexp.MustCompile(`at most (\d+) refused\s`).FindSubmatch(page)
	Expect(found).NotTo(BeNil(), "the page does not say it")
	number, err := strconv.Atoi(string(found[1]))
	Expect(err).NotTo(HaveOccurred())
	return number
}

// consumers are the Deployments of a Gini's consumers: one that reads plain files, one that reads through pkg/tokenfile.
func (g gini) consumers() []string { return []string{g.name + "-files", g.name + "-tokenfile"} }

// users are the names of a Gini's users in the long run; every other one is anonymous.
func (g gini) users() []string {
	names := make([]string, 4)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", g.name, i)
	}
	return names
}

// everything is the Gini's client, its users and the pods that use what they get.
func (g gini) everything() []client.Object {
	var secrets []string
	var users []client.Object
	for i, name := range g.users() {
		users = append(users, g.user(teamNamespace, name, i%2 == 1))
		secrets = append(secrets, name+"-token")
	}
	if g.name == fresh.name { // a trusted device as well
		backend := g.user(teamNamespace, g.users()[0], false)
		backend.Spec.Devices.Trusted = &api.TrustedDeviceSpec{Secret: api.TrustedSecret{TargetSecret: api.TargetSecret{Name: api.ObjectName(g.users()[0] + "-backend")}}}
		users[0] = backend
		secrets = append(secrets, g.users()[0]+"-backend")
	}
	objects := []client.Object{g.consumer("files", secrets...), g.consumer("tokenfile", secrets...)}
	return append(append(objects, g.giniClient(teamNamespace)...), users...)
}

// leader is the pod that holds the lease; "" where none does.
func leader(ctx context.Context) string {
	lease := &coordinationv1.Lease{}
	key := types.NamespacedName{Namespace: operatorNamespace, Name: "gini-operator.credentials.gini.net"}
	if err := k8s.Get(ctx, key, lease); err != nil || lease.Spec.HolderIdentity == nil {
		return ""
	}
	pod, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
	return pod
}

// fewest is the least number of renewals that any consumer of a Gini has seen of any token.
func (g gini) fewest(ctx context.Context) int {
	GinkgoHelper()
	fewest := -1
	for _, name := range g.consumers() {
		for secret, of := range consumed(ctx, name) {
			if seen := of.DistinctTokens - 1; !strings.HasSuffix(secret, "-backend") && (fewest < 0 || seen < fewest) {
				fewest = seen
			}
		}
	}
	return fewest
}

var _ = Describe("The operator as a Deployment", Ordered, func() {
	var seen *writes
	watching, stop := context.WithCancel(context.Background())

	BeforeAll(func(ctx SpecContext) {
		objects := []client.Object{namespace(giniNamespace)}
		for _, g := range ginis {
			objects = append(objects, g.objects()...)
		}
		apply(ctx, objects...)
		run(ctx, "", kubectl, "-n", giniNamespace, "wait", "--for=condition=Available", "--timeout="+soon.String(), "deployment", "--all")
	})

	installs()

	It("serves pods and GiniUsers that come in one apply, installed by Helm from an earlier commit", func(ctx SpecContext) {
		install(ctx, oldChart, oldVersion)
		objects := []client.Object{namespace(teamNamespace)}
		for _, g := range ginis {
			objects = append(objects, g.everything()...)
		}
		apply(ctx, objects[0])
		seen = watchWrites(watching, teamNamespace)
		apply(ctx, objects[1:]...)
		for _, g := range ginis {
			awaitReady(ctx, teamNamespace, g.users()...)
		}
		run(ctx, "", kubectl, "-n", teamNamespace, "wait", "--for=condition=Available", "--timeout="+soon.String(), "deployment", "--all")
	})

	It("is upgraded by Helm without asking Gini anything for it", func(ctx SpecContext) {
		before := calm.ledger(ctx)
		upgrade(ctx, filepath.Join(root, "charts", "gini-operator"), version)
		var there appsv1.Deployment
		Expect(k8s.Get(ctx, types.NamespacedName{Namespace: operatorNamespace, Name: release}, &there)).To(Succeed())
		Expect(there.Spec.Template.Spec.Containers[0].Image).To(Equal(image("gini-operator", version)))
		Expect(there.Status.ReadyReplicas).To(BeEquivalentTo(2))
		Eventually(leader).WithArguments(ctx).WithTimeout(soon).WithPolling(look).Should(HavePrefix(release))
		after := calm.ledger(ctx)
		for _, operation := range []emulator.Operation{emulator.Login, emulator.PasswordLogin, emulator.CreateUser, emulator.ClientToken, emulator.GetUser} {
			Expect(after.ByOperation[operation]).To(Equal(before.ByOperation[operation]), operation)
		}
		run(ctx, "", helm, "test", release, "--namespace", operatorNamespace, "--timeout", soon.String())
	})

	It("loses no request of any pod through kills and failovers, over 10 renewals with nudges and 3 without (R12.1)", func(ctx SpecContext) {
		By("the leader is killed, and rescheduled")
		killed := leader(ctx)
		run(ctx, "", kubectl, "-n", operatorNamespace, "delete", "pod", killed, "--force", "--grace-period=0")
		Eventually(leader).WithArguments(ctx).WithTimeout(soon).WithPolling(look).ShouldNot(Or(BeEmpty(), Equal(killed)))
		rolledOut(ctx, release)
		By("the leader ends in order, and the other replica goes on")
		ended := leader(ctx)
		run(ctx, "", kubectl, "-n", operatorNamespace, "delete", "pod", ended)
		Eventually(leader).WithArguments(ctx).WithTimeout(soon).WithPolling(look).ShouldNot(Or(BeEmpty(), Equal(ended)))
		rolledOut(ctx, release)
		By("the renewals")
		Eventually(fresh.fewest).WithArguments(ctx).WithTimeout(longRun).WithPolling(5 * look).Should(BeNumerically(">=", freshRenewals))
		Eventually(alone.fewest).WithArguments(ctx).WithTimeout(longRun).WithPolling(5 * look).Should(BeNumerically(">=", aloneRenewals))

		for _, g := range []gini{fresh, alone, calm} {
			ledger := g.ledger(ctx)
			figures.uses += ledger.TokenUses.Accepted
			figures.refused += ledger.TokenUses.Refused
			for _, name := range g.consumers() {
				for secret, of := range consumed(ctx, name) {
					figures.renewals += of.DistinctTokens - 1
					Expect(of.Refused).To(BeEmpty(), "%s: %s", name, secret)
					Expect(of.Accepted).To(BeNumerically(">", 60), "%s: %s", name, secret)
				}
			}
			Expect(ledger.TokenUses.Refused).To(BeZero(), g.name)
			Expect(ledger.ExpiredUses()).To(BeZero(), g.name)
		}
	})

	It("shows how long a renewed token takes to the file, alone and with nudges (R12.1)", func(ctx SpecContext) {
		for _, name := range fresh.consumers() {
			figures.nudged = append(figures.nudged, seen.delaysOf(consumed(ctx, name))...)
		}
		for _, name := range alone.consumers() {
			figures.kubelet = append(figures.kubelet, seen.delaysOf(consumed(ctx, name))...)
		}
		AddReportEntry("write to file, alone", figures.kubelet.String())
		AddReportEntry("write to file, nudged", figures.nudged.String())
		GinkgoWriter.Printf("alone: %s\nnudged: %s\n", figures.kubelet, figures.nudged)
		Expect(len(figures.nudged)).To(BeNumerically(">", 20))
		Expect(len(figures.kubelet)).To(BeNumerically(">", 10))
	})

	It("has pods refused only as long as the page on delivery says, where tokens are sticky or end with a login", func(ctx SpecContext) {
		for _, g := range []gini{sticky, ending} {
			for _, name := range g.consumers() {
				for secret, of := range consumed(ctx, name) {
					refused := 0
					for _, count := range of.Refused {
						refused += count
					}
					GinkgoWriter.Printf("%s %s: %d renewals, %d of %d uses refused\n", name, secret, of.DistinctTokens-1, refused, of.Uses)
					Expect(of.DistinctTokens).To(BeNumerically(">", 2), "%s: %s", name, secret)
					Expect(refused).To(BeNumerically("<=", promised()*(of.DistinctTokens-1)), "%s: %s", name, secret)
				}
			}
		}
	})

	It("restarts a Deployment that reads a token as environment, where both sides want it (R12.3)", func(ctx SpecContext) {
		reading := calm.consumer("files", calm.users()[0]+"-token")
		reading.Name = "by-environment"
		reading.Spec.Selector.MatchLabels = map[string]string{"app": reading.Name}
		reading.Spec.Template.Labels = map[string]string{"app": reading.Name}
		reading.Spec.Template.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{
			SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: calm.users()[0] + "-token"}},
		}}
		reading.Annotations = map[string]string{api.AllowRestartAnnotation: "1m"}
		user := calm.user(teamNamespace, calm.users()[0], false)
		user.Spec.Devices.Untrusted.RolloutRestart = []api.WorkloadReference{{Kind: api.DeploymentKind, Name: api.ObjectName(reading.Name)}}
		user.Annotations = map[string]string{api.RefreshRequestedAnnotation: "now"}
		apply(ctx, reading, user)
		Eventually(func(g Gomega) {
			there := &appsv1.Deployment{}
			g.Expect(k8s.Get(ctx, client.ObjectKeyFromObject(reading), there)).To(Succeed())
			g.Expect(there.Spec.Template.Annotations).To(HaveKey(api.RestartedAtAnnotation))
			g.Expect(there.Status.ObservedGeneration).To(Equal(there.Generation))
		}).WithTimeout(2 * soon).WithPolling(look).Should(Succeed())
		run(ctx, "", kubectl, "-n", teamNamespace, "rollout", "status", "--timeout="+soon.String(), "deployment/"+reading.Name)
		run(ctx, "", kubectl, "-n", teamNamespace, "delete", "deployment", reading.Name)
	})

	It("serves 100 users that were applied while it was down (R5.3)", func(ctx SpecContext) {
		run(ctx, "", kubectl, "-n", operatorNamespace, "scale", "deployment", release, "--replicas=0")
		var names []string
		objects := []client.Object{}
		for i := range 100 {
			name := fmt.Sprintf("down-%02d", i)
			names, objects = append(names, name), append(objects, calm.user(teamNamespace, name, i%10 == 9))
		}
		apply(ctx, objects...)
		run(ctx, "", kubectl, "-n", operatorNamespace, "scale", "deployment", release, "--replicas=2")
		awaitReady(ctx, teamNamespace, names...)
		run(ctx, "", kubectl, append([]string{"-n", teamNamespace, "delete", "giniuser"}, names...)...)
	})

	It("leaves GiniUsers and their Secrets when it is uninstalled, and finds them when it is installed again (R5.2)", func(ctx SpecContext) {
		held := func() map[string]string {
			found := map[string]string{}
			for _, name := range calm.users() {
				secret := &corev1.Secret{}
				Expect(k8s.Get(ctx, types.NamespacedName{Namespace: teamNamespace, Name: name + "-token"}, secret)).To(Succeed())
				found[name] = secret.Annotations[api.FingerprintAnnotation]
			}
			return found
		}
		before, asked := held(), calm.ledger(ctx)
		run(ctx, "", helm, "uninstall", release, "--namespace", operatorNamespace, "--wait", "--timeout", soon.String())
		Expect(held()).To(Equal(before))
		install(ctx, filepath.Join(root, "charts", "gini-operator"), version)
		rolledOut(ctx, release)
		awaitReady(ctx, teamNamespace, fresh.users()...)
		apply(ctx, calm.user(teamNamespace, "afterwards", false))
		awaitReady(ctx, teamNamespace, "afterwards") // by now all others have been looked at
		Expect(held()).To(Equal(before))
		Expect(calm.ledger(ctx).ByOperation[emulator.Login]).To(Equal(asked.ByOperation[emulator.Login] + 1))
		Expect(calm.ledger(ctx).AccountsCreated).To(Equal(asked.AccountsCreated))
	})

	AfterAll(func(ctx SpecContext) {
		stop()
		run(ctx, "", kubectl, "delete", "namespace", "--ignore-not-found", teamNamespace, giniNamespace, operatorNamespace)
	})
})
