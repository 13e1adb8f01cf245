// kubevirt-standin plays KubeVirt for the test bed: virt-api, virt-controller, virt-handler, and guests
// that write to their disks. See README.md.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"novasphere.dev/wukong/tests/cluster/kubevirt/api"
	"novasphere.dev/wukong/tests/cluster/kubevirt/control"
	"novasphere.dev/wukong/tests/cluster/kubevirt/guest"
)

func main() {
	log.SetFlags(log.LstdFlags | log.Lmicroseconds | log.LUTC)
	if len(os.Args) > 1 && os.Args[1] == "records" {
		os.Exit(records(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "faults" {
		fmt.Println(strings.Join(control.Faults, "\n"))
		return
	}
	if err := serve(); err != nil {
		log.Fatal(err)
	}
}

// records prints what each disk file holds, one JSON object a line.
func records(paths []string) int {
	if len(paths) == 0 {
		fmt.Fprintln(os.Stderr, "usage: kubevirt-standin records FILE…")
		return 2
	}
	code := 0
	for _, path := range paths {
		summary, err := guest.SummarizeFile(path)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
			continue
		}
		line, _ := json.Marshal(summary)
		fmt.Println(string(line))
	}
	return code
}

func serve() error {
	var opt control.Options
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	listen := flag.String("listen", "127.0.0.1:0", "address of virt-api")
	cert := flag.String("tls-cert", "", "its certificate, for virt-api.kubevirt.svc")
	key := flag.String("tls-key", "", "the certificate's key")
	clientCA := flag.String("client-ca", "", "CA of the aggregator's client certificate (requestheader)")
	flag.StringVar(&opt.Data, "data", "", "folder of the CSI driver; volume h is volumes/h.img in it")
	flag.StringVar(&opt.State, "state", "", "folder for freeze-log.jsonl and what must survive a restart")
	flag.DurationVar(&opt.Interval, "write-interval", 25*time.Millisecond, "between two records of a guest")
	flag.DurationVar(&opt.Boot, "boot-delay", 150*time.Millisecond, "from Scheduled to Running")
	flag.DurationVar(&opt.Agent, "agent-delay", 100*time.Millisecond, "from Running to AgentConnected")
	flag.DurationVar(&opt.Poll, "poll", duration("STANDIN_POLL", 5*time.Second), "how often fsFreezeStatus is looked at")
	flag.DurationVar(&opt.HandlerTimeout, "handler-timeout", duration("STANDIN_HANDLER_TIMEOUT", 10*time.Second),
		"how long virt-api waits for virt-handler")
	qemu := flag.String("qemu", "", "guests are machines of QEMU, started as this JSON says (guest.Image)")
	flag.Parse()
	if *qemu != "" {
		if err := json.Unmarshal([]byte(*qemu), &opt.Image); err != nil {
			return fmt.Errorf("--qemu: %w", err)
		}
	}
	if opt.Data == "" || opt.State == "" || *cert == "" || *key == "" || *clientCA == "" {
		return fmt.Errorf("--data, --state, --tls-cert, --tls-key and --client-ca are required")
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	cluster, err := control.Connect(config)
	if err != nil {
		return err
	}
	node, err := control.NewNode(cluster, opt)
	if err != nil {
		return err
	}
	tlsConfig, err := serverTLS(*cert, *key, *clientCA)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, cluster, node, &http.Server{Addr: *listen, TLSConfig: tlsConfig, ReadHeaderTimeout: 10 * time.Second})
}

// run starts the controllers, and serves once their caches are filled.
func run(ctx context.Context, cluster *control.Cluster, node *control.Node, server *http.Server) error {
	vm := control.NewVMController(cluster)
	vmi := control.NewVMIController(cluster, node)
	snapshot := control.NewSnapshotController(cluster, node)
	if err := cluster.Start(ctx); err != nil {
		return err
	}
	vm.Queue.Run(ctx, 4)
	vmi.Queue.Run(ctx, 8)
	snapshot.Queue.Run(ctx, 6)
	snapshot.Contents.Run(ctx, 6)
	server.Handler = &api.Server{Cluster: cluster, Node: node}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServeTLS("", "") }()
	log.Printf("listening on %s", server.Addr)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		// Guests are cut off, not shut down: their state stays for the next run.
		return server.Close()
	}
}

// serverTLS asks for the aggregator's certificate but does not insist: webhook calls bear none.
func serverTLS(cert, key, clientCA string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(clientCA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate in it", clientCA)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool,
		ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS12}, nil
}

// duration reads an environment variable, so that a bed can shorten what the original has fixed.
func duration(name string, otherwise time.Duration) time.Duration {
	if d, err := time.ParseDuration(os.Getenv(name)); err == nil {
		return d
	}
	return otherwise
}
