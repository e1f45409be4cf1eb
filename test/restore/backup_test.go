package restore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

// backup is what a namespace held, without status, owner references and anything that the API server numbers.
type backup struct{ secrets, clients, users []client.Object }

// backUp takes a backup.
func (w *world) backUp(ctx context.Context) backup {
	GinkgoHelper()
	return backup{
		secrets: w.list(ctx, &corev1.SecretList{}), clients: w.list(ctx, &api.GiniClientList{}), users: w.list(ctx, &api.GiniUserList{}),
	}
}

func (w *world) list(ctx context.Context, list client.ObjectList) (objects []client.Object) {
	GinkgoHelper()
	Expect(k8s.List(ctx, list, client.InNamespace(w.namespace))).To(Succeed())
	Expect(meta.EachListItem(list, func(item runtime.Object) error {
		object, ok := item.(client.Object)
		Expect(ok).To(BeTrue())
		objects = append(objects, stripped(object))
		return nil
	})).To(Succeed())
	return objects
}

func stripped(object client.Object) client.Object {
	object.SetUID("")
	object.SetResourceVersion("")
	object.SetGeneration(0)
	object.SetCreationTimestamp(metav1.Time{})
	object.SetManagedFields(nil)
	object.SetOwnerReferences(nil)
	switch of := object.(type) {
	case *api.GiniUser:
		of.Status = api.GiniUserStatus{}
	case *api.GiniClient:
		of.Status = api.GiniClientStatus{}
	}
	return object
}

// all is everything in the backup.
func (b backup) all() []client.Object { return slices.Concat(b.secrets, b.clients, b.users) }

// named are the objects of these names, of whatever kind.
func (b backup) named(names ...string) []client.Object {
	return slices.DeleteFunc(b.all(), func(object client.Object) bool { return !slices.Contains(names, object.GetName()) })
}

// shuffled are the objects in an order that a spec's report tells.
func shuffled(random *rand.Rand, objects []client.Object) []client.Object {
	order := slices.Clone(objects)
	random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	By("in this order: " + fmt.Sprint(namesOf(order)))
	return order
}

func namesOf(objects []client.Object) []string {
	names := make([]string, 0, len(objects))
	for _, object := range objects {
		names = append(names, fmt.Sprintf("%T %s", object, object.GetName()))
	}
	return names
}

// restore makes objects of a backup again; those that are there already stay as they are.
func (w *world) restore(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	for _, object := range objects {
		again, ok := object.DeepCopyObject().(client.Object)
		Expect(ok).To(BeTrue())
		if err := k8s.Create(ctx, again); !apierrors.IsAlreadyExists(err) {
			Expect(err).NotTo(HaveOccurred(), "%T %s", object, object.GetName())
		}
	}
}

// loseObjects deletes everything that a backup has, and waits until it is gone.
func (w *world) loseObjects(ctx context.Context) {
	GinkgoHelper()
	for _, kind := range []client.Object{&api.GiniUser{}, &api.GiniClient{}, &corev1.Secret{}} {
		Expect(k8s.DeleteAllOf(ctx, kind, client.InNamespace(w.namespace))).To(Succeed())
	}
	Eventually(func() []client.Object { return w.backUp(ctx).all() }).WithTimeout(patience).Should(BeEmpty())
}

// deleteNamespace deletes the namespace, and waits until it is gone.
func (w *world) deleteNamespace(ctx context.Context) {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
	Expect(k8s.Delete(ctx, namespace)).To(Succeed())
	Eventually(func() bool {
		return apierrors.IsNotFound(k8s.Get(ctx, client.ObjectKeyFromObject(namespace), &corev1.Namespace{}))
	}).WithTimeout(patience).Should(BeTrue(), "the namespace is gone")
}
