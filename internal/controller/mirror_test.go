package controller_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/controller"
)

// mirrored are the resources that a mirror holds, with an empty object of each, and the indexes that find it.
var mirrored = map[string]struct {
	empty   client.Object
	list    client.ObjectList
	indexes map[string]client.IndexerFunc
}{
	"giniusers":   {&api.GiniUser{}, &api.GiniUserList{}, controller.UserIndexes},
	"giniclients": {&api.GiniClient{}, &api.GiniClientList{}, controller.ClientIndexes},
	"secrets":     {&corev1.Secret{}, &corev1.SecretList{}, controller.SecretIndexes},
}

// mirror holds in memory what the API server holds, as a manager's cache does, but without a lag. It stands below every client of the
// suite, whoever's, and takes from the API server's answer to a write what the object is now, before the writer has that answer.
// Reading from it takes microseconds, where the API server needs milliseconds to list a namespace.
type mirror struct {
	mu sync.RWMutex
	// held is by resource, namespace and name.
	held map[string]map[string]map[string]client.Object
	// gone are objects that no late answer brings back.
	gone map[types.UID]bool
}

// place is what a request is about. There is no name where it is about all of a namespace.
type place struct{ resource, namespace, name string }

func placeOf(path string) (p place, below string, ok bool) {
	_, path, ok = strings.Cut(path, "/namespaces/")
	parts := strings.Split(path, "/")
	if !ok || len(parts) < 2 {
		return p, "", false
	}
	p.namespace, p.resource = parts[0], parts[1]
	if len(parts) > 2 {
		p.name = parts[2]
	}
	_, ok = mirrored[p.resource]
	return p, strings.Join(parts[min(3, len(parts)):], "/"), ok
}

// mirroring is a connection to the API server whose answers a mirror sees.
type mirroring struct {
	*mirror
	http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (m mirroring) RoundTrip(request *http.Request) (*http.Response, error) {
	at, below, ok := placeOf(request.URL.Path)
	if !ok || request.Method == http.MethodGet || request.URL.Query().Has("dryRun") {
		return m.RoundTripper.RoundTrip(request)
	}
	response, err := m.RoundTripper.RoundTrip(request)
	if err != nil { // whether it was done, nobody knows
		m.look(at)
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	switch {
	case err != nil || response.StatusCode >= http.StatusInternalServerError:
		m.look(at)
	case response.StatusCode >= http.StatusBadRequest:
	case request.Method == http.MethodDelete || below != "" && below != "status" || !m.learn(at, body):
		m.look(at)
	}
	return response, err
}

// learn takes an object from an answer, and reports whether there was a whole one.
func (m *mirror) learn(at place, body []byte) bool {
	decoded, _, err := serializer.NewCodecFactory(scheme).UniversalDeserializer().Decode(body, nil, nil)
	object, ok := decoded.(client.Object)
	if err != nil || !ok || reflect.TypeOf(object) != reflect.TypeOf(mirrored[at.resource].empty) {
		return false
	}
	m.put(at.resource, object)
	return true
}

// look asks the API server itself: after a write whose answer does not tell what there is now.
func (m *mirror) look(at place) {
	ctx := context.Background()
	if at.name == "" {
		m.lookAtAll(ctx, at)
		return
	}
	object, _ := mirrored[at.resource].empty.DeepCopyObject().(client.Object)
	switch err := k8s.Get(ctx, types.NamespacedName{Namespace: at.namespace, Name: at.name}, object); {
	case apierrors.IsNotFound(err):
		m.drop(at)
	case err != nil:
		panic(err)
	default:
		m.put(at.resource, object)
	}
}

func (m *mirror) lookAtAll(ctx context.Context, at place) {
	present := map[string]bool{}
	for _, object := range listed(ctx, at) {
		present[object.GetName()] = true
		m.put(at.resource, object)
	}
	for _, object := range m.all(at.resource, at.namespace) {
		if !present[object.GetName()] {
			m.drop(place{at.resource, at.namespace, object.GetName()})
		}
	}
}

// listed are the objects that the API server has of a resource in a namespace.
func listed(ctx context.Context, at place) (objects []client.Object) {
	list, _ := mirrored[at.resource].list.DeepCopyObject().(client.ObjectList)
	if err := k8s.List(ctx, list, client.InNamespace(at.namespace)); err != nil {
		panic(err)
	}
	if err := meta.EachListItem(list, func(item runtime.Object) error {
		object, _ := item.(client.Object)
		objects = append(objects, object)
		return nil
	}); err != nil {
		panic(err)
	}
	return objects
}

// put keeps an object, unless a later state of it is known. As in the operator's cache, nobody reads who manages which field.
func (m *mirror) put(resource string, object client.Object) {
	object.SetManagedFields(nil)
	kinds, _, err := scheme.ObjectKinds(object)
	if err != nil {
		panic(err)
	}
	object.GetObjectKind().SetGroupVersionKind(kinds[0])
	m.mu.Lock()
	defer m.mu.Unlock()
	names := m.in(resource, object.GetNamespace())
	known, ok := names[object.GetName()]
	switch {
	case m.gone[object.GetUID()]:
	case object.GetDeletionTimestamp() != nil && len(object.GetFinalizers()) == 0: // this write took the last one away, and made no new version
		m.gone[object.GetUID()] = true
		delete(names, object.GetName())
	case ok && version(known) >= version(object):
	default:
		names[object.GetName()] = object
	}
}

func (m *mirror) drop(at place) {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := m.in(at.resource, at.namespace)
	if known, ok := names[at.name]; ok {
		m.gone[known.GetUID()] = true
		delete(names, at.name)
	}
}

// in are the objects of a namespace by their names; it needs the lock.
func (m *mirror) in(resource, namespace string) map[string]client.Object {
	if m.held[resource] == nil {
		m.held[resource] = map[string]map[string]client.Object{}
	}
	if m.held[resource][namespace] == nil {
		m.held[resource][namespace] = map[string]client.Object{}
	}
	return m.held[resource][namespace]
}

func version(object client.Object) uint64 {
	version, err := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	if err != nil {
		panic(err)
	}
	return version
}

// all are the objects of a namespace, or of all of them, in the order in which the API server lists them. They belong to the mirror.
func (m *mirror) all(resource, namespace string) (objects []client.Object) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for in, names := range m.held[resource] {
		if namespace == "" || in == namespace {
			for _, object := range names {
				objects = append(objects, object)
			}
		}
	}
	slices.SortFunc(objects, func(a, b client.Object) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return objects
}

// expectExact expects that the mirror holds of a namespace what the API server does.
func (m *mirror) expectExact(ctx context.Context, namespace string) {
	GinkgoHelper()
	for resource := range mirrored {
		held, there := map[string]string{}, map[string]string{}
		for _, object := range m.all(resource, namespace) {
			held[object.GetName()] = fmt.Sprint(object.GetUID(), object.GetResourceVersion())
		}
		for _, object := range listed(ctx, place{resource: resource, namespace: namespace}) {
			there[object.GetName()] = fmt.Sprint(object.GetUID(), object.GetResourceVersion())
		}
		Expect(held).To(Equal(there), "%s in memory, and at the API server", resource)
	}
}

// indexed reads from the mirror what a manager's cache holds, by index, and what the mirror does not hold from another reader.
type indexed struct{ client.Reader }

// Get implements client.Reader.
func (r indexed) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	resource, kind := resourceOf(object)
	if resource == "" {
		return r.Reader.Get(ctx, key, object, options...)
	}
	reflection.mu.RLock()
	found, ok := reflection.held[resource][key.Namespace][key.Name]
	reflection.mu.RUnlock()
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{Group: kind.Group, Resource: resource}, key.Name)
	}
	reflect.ValueOf(object).Elem().Set(reflect.ValueOf(as(object, found).DeepCopyObject()).Elem())
	return nil
}

// List implements client.Reader.
func (r indexed) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	asked := (&client.ListOptions{}).ApplyOptions(options)
	resource, _ := resourceOf(list)
	if resource == "" {
		return r.Reader.List(ctx, list, options...)
	}
	var items []runtime.Object
	for _, object := range reflection.all(resource, asked.Namespace) {
		if !matches(asked, object, mirrored[resource].indexes) {
			continue
		}
		var item runtime.Object = object
		if _, ok := list.(*metav1.PartialObjectMetadataList); ok {
			item = as(&metav1.PartialObjectMetadata{}, object)
		}
		if asked.UnsafeDisableDeepCopy == nil || !*asked.UnsafeDisableDeepCopy {
			item = item.DeepCopyObject()
		}
		items = append(items, item)
	}
	return meta.SetList(list, items)
}

// matches reports whether a list has the object.
func matches(asked *client.ListOptions, object client.Object, indexes map[string]client.IndexerFunc) bool {
	if asked.LabelSelector != nil && !asked.LabelSelector.Matches(labels.Set(object.GetLabels())) {
		return false
	}
	if asked.FieldSelector == nil {
		return true
	}
	wanted := asked.FieldSelector.Requirements()[0]
	return slices.Contains(indexes[wanted.Field](object), wanted.Value)
}

// resourceOf is the mirrored resource of an object or a list; "" where there is none.
func resourceOf(object runtime.Object) (string, schema.GroupVersionKind) {
	kind, err := apiutil.GVKForObject(object, scheme)
	if err != nil {
		panic(err)
	}
	kind.Kind = strings.TrimSuffix(kind.Kind, "List")
	for resource, of := range mirrored {
		if is, err := apiutil.GVKForObject(of.empty, scheme); err == nil && is == kind {
			return resource, kind
		}
	}
	return "", kind
}

// as is an object of the mirror as what a reader wants: the whole of it, or its metadata.
func as(wanted, object client.Object) client.Object {
	if _, ok := wanted.(*metav1.PartialObjectMetadata); !ok {
		return object
	}
	partial := &metav1.PartialObjectMetadata{}
	partial.SetGroupVersionKind(object.GetObjectKind().GroupVersionKind())
	switch whole := object.(type) {
	case *api.GiniUser:
		partial.ObjectMeta = whole.ObjectMeta
	case *api.GiniClient:
		partial.ObjectMeta = whole.ObjectMeta
	case *corev1.Secret:
		partial.ObjectMeta = whole.ObjectMeta
	}
	return partial
}
