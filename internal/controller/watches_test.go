package controller

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/agenda"
)

var watchNoon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// named is a user with a Secret for an untrusted device, made a month before noon, of which nothing is known yet.
func named(name string) *api.GiniUser {
	return &api.GiniUser{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, Generation: 1, CreationTimestamp: metav1.NewTime(watchNoon.AddDate(0, -1, 0))},
		Spec: api.GiniUserSpec{
			ClientRef: api.ClientReference{Name: "acme"},
			Derived:   &api.DerivedUser{Identifier: name, Auth: api.BasicAuth},
			Devices: api.Devices{Untrusted: &api.UntrustedDeviceSpec{
				Secret: api.UntrustedSecret{TargetSecret: api.TargetSecret{Name: api.ObjectName(name)}},
			}},
		},
	}
}

// served is a user whose token is to be renewed and expires at these times since noon.
func served(name string, refresh, expiry time.Duration) *api.GiniUser {
	user := named(name)
	at := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: watchNoon.Add(d)} }
	user.Status.ObservedGeneration = 1
	user.Status.Conditions = []metav1.Condition{{
		Type: api.ConditionReady, Status: metav1.ConditionTrue, Reason: api.ReasonCredentialsReady, LastTransitionTime: *at(-24 * time.Hour),
	}}
	user.Status.Devices = &api.DevicesStatus{Untrusted: &api.DeviceStatus{LastRefreshAt: at(-12 * time.Hour), RefreshAt: at(refresh), ExpiresAt: at(expiry)}}
	return user
}

// unready is a user that was told that it has no token.
func unready(name string) *api.GiniUser {
	user := named(name)
	user.Status.ObservedGeneration = 1
	user.Status.Conditions = []metav1.Condition{{Type: api.ConditionReady, Status: metav1.ConditionFalse, Reason: api.ReasonGiniUnavailable}}
	return user
}

// arrival is what a queue yields.
type arrival struct {
	name     string
	priority int
}

// listed gives objects to a handler as an informer does that has just listed them, and empties the queue.
func listed(t *testing.T, to handler.EventHandler, objects ...client.Object) []arrival {
	t.Helper()
	queue := priorityqueue.New[reconcile.Request](t.Name())
	defer queue.ShutDown()
	for _, object := range objects {
		to.Create(t.Context(), event.CreateEvent{Object: object, IsInInitialList: true}, queue)
	}
	if got := queue.Len(); got != len(objects) {
		t.Fatalf("%d in the queue, want %d", got, len(objects))
	}
	arrivals := make([]arrival, 0, len(objects))
	for range objects {
		request, priority, _ := queue.GetWithPriority()
		queue.Done(request)
		arrivals = append(arrivals, arrival{request.Name, priority})
	}
	return arrivals
}

func expectArrivals(t *testing.T, got []arrival, want ...arrival) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("number %d is %v, want %v", i+1, got[i], want[i])
		}
		if got[i].priority < agenda.Rest {
			t.Errorf("%v would wait for all other events", got[i])
		}
	}
}

// TestUsersAtTheStart: the start-up list is served as the agenda would have it, and not after everything else (R2.1).
func TestUsersAtTheStart(t *testing.T) {
	watches := userWatches{clock: testclock.NewFakePassiveClock(watchNoon)}
	expectArrivals(t, listed(t, watches.ofUsers(),
		served("resting", time.Hour, 4*time.Hour), named("new"), served("due", -time.Minute, 4*time.Hour), unready("told"),
		served("urgent", -3*time.Hour, time.Hour), served("expired", -4*time.Hour, 0),
	), arrival{"expired", agenda.Expired}, arrival{"urgent", agenda.Urgent}, arrival{"new", agenda.First}, arrival{"told", agenda.First},
		arrival{"resting", agenda.Rest}, arrival{"due", agenda.Rest})
}

// TestClientsAtTheStart: a client is not put back because it was there at the start: its users wait for it (R2.1).
func TestClientsAtTheStart(t *testing.T) {
	acme := &api.GiniClient{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "acme"}}
	beta := &api.GiniClient{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "beta"}}
	expectArrivals(t, listed(t, ofClientsThemselves(), acme, beta), arrival{"acme", agenda.First}, arrival{"beta", agenda.First})
}

// TestComesAgain: a user that comes again before the next sweep has the priority that it has by then; one that is due later, or now,
// is the sweep's, or its lane's (R2.1).
func TestComesAgain(t *testing.T) {
	comes := func(after time.Duration, priority int) ctrl.Result {
		return ctrl.Result{RequeueAfter: after, Priority: &priority}
	}
	suspended := served("alice", -time.Hour, 5*time.Second)
	suspended.Spec.Suspend = true
	for name, c := range map[string]struct {
		user    *api.GiniUser
		retryIn time.Duration
		want    ctrl.Result
	}{
		"due soon":                {served("alice", 5*time.Second, 4*time.Hour), 0, comes(5*time.Second, agenda.Rest)},
		"expires soon":            {suspended, 0, comes(5*time.Second, agenda.Expired)},
		"new, in a second":        {named("alice"), time.Second, comes(time.Second, agenda.First)},
		"urgent, in a second":     {served("alice", -3*time.Hour, time.Hour), time.Second, comes(time.Second, agenda.Urgent)},
		"expired, in a second":    {served("alice", -3*time.Hour, 0), time.Second, comes(time.Second, agenda.Expired)},
		"expired by then":         {served("alice", -3*time.Hour, time.Second), time.Second, comes(time.Second, agenda.Expired)},
		"due at the next sweep":   {served("alice", agenda.Interval, 4*time.Hour), 0, ctrl.Result{}},
		"due, and was not served": {served("alice", -time.Minute, 4*time.Hour), 0, ctrl.Result{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &GiniUserReconciler{Clock: testclock.NewFakePassiveClock(watchNoon)}
			s := r.newScope(c.user)
			if c.retryIn > 0 {
				s.retryAt = watchNoon.Add(c.retryIn)
			}
			got := r.result(s)
			priority, want := ptr.Deref(got.Priority, 0), ptr.Deref(c.want.Priority, 0)
			if got.RequeueAfter != c.want.RequeueAfter || priority != want {
				t.Errorf("comes after %v with priority %d, want %v with %d", got.RequeueAfter, priority, c.want.RequeueAfter, want)
			}
		})
	}
}
