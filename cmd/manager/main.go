// Command manager is the Gini operator: it keeps the credentials of GiniUsers fresh in Secrets.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/config/crd"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/operator"
)

// version is set by the linker.
var version = "dev"

const usage = `The Gini operator keeps the credentials of GiniUsers fresh in Secrets.

Usage: manager [flags]
       manager check-ready URL    ask URL, as in http://localhost:8081/readyz, for a minute at most; fail unless it answers 200

It connects to the cluster it runs in, or to that of --kubeconfig or $KUBECONFIG.
Proxies are taken from HTTPS_PROXY, HTTP_PROXY and NO_PROXY.

Flags:
`

type options struct {
	metricsAddress  string
	probeAddress    string
	jwksAddress     string
	namespaces      string
	leaderElect     bool
	leaseDuration   time.Duration
	renewDeadline   time.Duration
	retryPeriod     time.Duration
	leaseNamespace  string
	allowedHosts    string
	connectTimeout  time.Duration
	requestTimeout  time.Duration
	nudgePods       bool
	rolloutRestarts bool
	verbose         bool
	printVersion    bool
	printCRDs       bool
}

func main() {
	err := run(ctrl.SetupSignalHandler(), os.Args[1:])
	if errors.Is(err, errStartOver) {
		err = startOver()
	}
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "manager:", err)
		os.Exit(1)
	}
}

func parse(arguments []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	flags.Usage = func() {
		_, _ = io.WriteString(flags.Output(), usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "address of the Prometheus metrics (plain HTTP); 0 switches them off")
	flags.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	flags.StringVar(&o.jwksAddress, "jwks-bind-address", ":8082", "address of the JWK Sets of GiniClients (plain HTTP); 0 switches them off")
	flags.StringVar(&o.namespaces, "watch-namespaces", "",
		"comma-separated namespaces that the operator looks at; all of them where empty. "+
			"With it, rights in these namespaces are enough, and grants select namespaces by the label kubernetes.io/metadata.name alone")
	flags.BoolVar(&o.leaderElect, "leader-elect", false, "let one of several replicas work at a time")
	flags.DurationVar(&o.leaseDuration, "leader-elect-lease-duration", 60*time.Second, "how long the others wait for a leader that is not heard of")
	flags.DurationVar(&o.renewDeadline, "leader-elect-renew-deadline", 40*time.Second, "how long a leader tries to renew its lease before it gives up")
	flags.DurationVar(&o.retryPeriod, "leader-elect-retry-period", 2*time.Second, "how long to wait between tries to get or renew the lease")
	flags.StringVar(&o.leaseNamespace, "leader-elect-namespace", "", "namespace of the lease; the operator's own where it runs in a cluster")
	flags.StringVar(&o.allowedHosts, "allowed-hosts", "*.gini.net",
		"comma-separated hosts that GiniClients may name: host, host:port, *.domain, or http://host:port for plain HTTP")
	flags.DurationVar(&o.connectTimeout, "connect-timeout", gini.DefaultConnectTimeout, "how long connecting to Gini may take")
	flags.DurationVar(&o.requestTimeout, "request-timeout", gini.DefaultRequestTimeout, "how long a whole request to Gini may take")
	flags.BoolVar(&o.nudgePods, "nudge-pods", false,
		"touch an annotation of pods that mount a renewed Secret, so that they see it at once; needs the right to patch pods")
	flags.BoolVar(&o.rolloutRestarts, "rollout-restarts", false,
		"restart workloads that consent and that a GiniUser names; needs the right to patch Deployments, StatefulSets and DaemonSets")
	flags.BoolVar(&o.verbose, "verbose", false, "log each decision, not only what has changed")
	flags.BoolVar(&o.printVersion, "version", false, "print the version and exit")
	flags.BoolVar(&o.printCRDs, "print-crds", false, "print the CustomResourceDefinitions of this version, for kubectl apply --server-side -f -, and exit")
	flags.Func("kubeconfig", "path of a kubeconfig file; the cluster that the operator runs in where absent", func(path string) error {
		return os.Setenv("KUBECONFIG", path)
	})
	err := flags.Parse(arguments)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q: see --help", flags.Arg(0))
	}
	return o, err
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) > 0 && arguments[0] == checkReadyCommand {
		within, stop := context.WithTimeout(ctx, readyWithin)
		defer stop()
		return checkReady(within, readyPause, arguments[1:]...)
	}
	o, err := parse(arguments)
	if err != nil {
		return err
	}
	if o.printVersion {
		fmt.Println(version)
		return nil
	}
	if o.printCRDs {
		var definitions string
		definitions, err = crd.Manifests()
		fmt.Print(definitions)
		return err
	}
	if err = o.check(); err != nil {
		return err
	}
	config, err := connection()
	if err != nil {
		return err
	}
	level := zapcore.InfoLevel
	if o.verbose {
		level = zapcore.DebugLevel
	}
	ctrl.SetLogger(zap.New(zap.UseDevMode(false), zap.Level(level), zap.StacktraceLevel(zapcore.PanicLevel)))
	klog.SetLogger(ctrl.Log.WithName("client-go")) // what keeps a cache from being filled is told there
	log := ctrl.Log.WithName("setup")

	config = operator.Connection(config, operator.Silence)
	if err = operator.AwaitDefinitions(ctx, config, o.probeAddress, wall, log); err != nil || ctx.Err() != nil {
		return err
	}
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(api.AddToScheme(scheme))

	asking, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("the operator cannot be set up: %w", err)
	}
	namespaces := operator.FindNamespaces(ctx, asking, o.watched(), nil, wall, log)
	managerOptions := operator.ManagerOptions(scheme, namespaces.Readable()...)
	managerOptions.Metrics = metricsserver.Options{BindAddress: o.metricsAddress}
	managerOptions.HealthProbeBindAddress = o.probeAddress
	var lease *operator.Lease
	if o.leaderElect {
		lease, err = operator.Elect(&managerOptions, config, operator.Election{
			Name: "gini-operator.credentials.gini.net", Namespace: o.leaseNamespace,
			LeaseDuration: o.leaseDuration, RenewDeadline: o.renewDeadline, RetryPeriod: o.retryPeriod,
		})
		if err != nil {
			return err
		}
	}
	mgr, err := ctrl.NewManager(config, managerOptions)
	if err != nil {
		return fmt.Errorf("the operator cannot be set up: %w", err)
	}
	options, err := operator.Permitted(ctx, asking, operator.Options{
		AllowedHosts: strings.Split(o.allowedHosts, ","), ConnectTimeout: o.connectTimeout, RequestTimeout: o.requestTimeout,
		JWKSAddress: o.jwksAddress, WatchNamespaces: o.watched(), Unreadable: namespaces.Unreadable(), Lease: lease,
		NudgePods: o.nudgePods, RolloutRestarts: o.rolloutRestarts,
	}, log)
	if err != nil {
		return err
	}
	if err := operator.AddTo(ctx, mgr, options); err != nil {
		return err
	}
	if err := errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("caches", operator.CachesSynced(mgr))); err != nil {
		return err
	}
	log.Info("Starting", "version", version, "allowedHosts", o.allowedHosts, "leaderElection", o.leaderElect)
	working, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(working) }()
	go namespaces.Watch(working, mgr.GetCache().WaitForCacheSync)
	select {
	case err := <-ended:
		return err
	case <-lease.Lost():
		return errors.New("another replica has taken the lease over: this one starts over")
	case <-namespaces.Changed():
		stop()
		if err := <-ended; err != nil {
			log.Error(err, "Not everything ended in time")
		}
		if ctx.Err() != nil {
			return nil
		}
		return errStartOver
	}
}
