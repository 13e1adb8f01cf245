// fill makes the objects of a large cluster: VMs with their VMIs, claims, snapshots, and Wukongs that
// have succeeded. Object i is the same on every run, so a cluster is grown by a second run.
//
//	fill --kubeconfig F --etcd http://… --machines 10000 --wukongs 10000 [--from N]
//
// These go straight into etcd, as the API server would store them but for managedFields: through the
// API server 140,000 writes take many minutes. Everything else goes through the API server:
//
//	fill --kubeconfig F --touch 2000 --of 10000               that many changes of VMs
//	fill --kubeconfig F --create 1000 --namespace load-0      only that many new Wukongs
//	fill --kubeconfig F --create 1000 --of 50 --full          the same, clones of 50 stopped machines, which
//	fill --kubeconfig F --etcd http://… --sources 50          makes
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const namespaces = 20

type cluster struct {
	host   string
	client *http.Client
	writes atomic.Int64
	failed atomic.Pointer[string]
}

func connect(kubeconfig string) *cluster {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		fail(err.Error())
	}
	tls, err := rest.TLSConfigFor(config)
	if err != nil {
		fail(err.Error())
	}
	// HTTP/1.1 with one connection for each worker: one HTTP/2 connection would be the bottleneck.
	return &cluster{host: config.Host, client: &http.Client{Timeout: 60 * time.Second,
		Transport: &http.Transport{TLSClientConfig: tls, MaxIdleConnsPerHost: 64}}}
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, "fill:", why)
	os.Exit(1)
}

func (c *cluster) send(method, path, contentType string, body any) int {
	text, _ := json.Marshal(body)
	for attempt := 0; ; attempt++ {
		request, _ := http.NewRequestWithContext(context.Background(), method, c.host+path, bytes.NewReader(text))
		request.Header.Set("Content-Type", contentType)
		r, err := c.client.Do(request)
		if err == nil {
			answer, _ := io.ReadAll(r.Body)
			r.Body.Close()
			if r.StatusCode < 300 || r.StatusCode == http.StatusConflict {
				c.writes.Add(1)
				return r.StatusCode
			}
			err = fmt.Errorf("%s %s: HTTP %d: %.300s", method, path, r.StatusCode, answer)
		}
		if attempt == 20 {
			why := err.Error()
			c.failed.CompareAndSwap(nil, &why)
			return 0
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// put creates an object.
func (c *cluster) put(o thing) {
	c.send("POST", o.path(), "application/json", o.object)
}

// store writes one object into etcd through its JSON gateway. One at a time: objects of one transaction
// would share a resourceVersion, which Kubernetes never does and its watch cache does not expect.
func (c *cluster) store(etcd string, o thing) {
	meta := o.object["metadata"].(m)
	api, _, grouped := strings.Cut(o.object["apiVersion"].(string), "/")
	key := "/registry/" + o.resource
	if grouped {
		key = "/registry/" + api + "/" + o.resource
	}
	key += "/" + meta["namespace"].(string) + "/" + meta["name"].(string)
	meta["uid"] = fmt.Sprintf("%08x-0000-4000-8000-%012x", crc32.ChecksumIEEE([]byte(o.resource)), crc32.ChecksumIEEE([]byte(key)))
	meta["creationTimestamp"], meta["generation"] = at, 1
	if o.status != nil {
		o.object["status"] = o.status
	}
	value, _ := json.Marshal(o.object)
	body, _ := json.Marshal(m{"key": base64.StdEncoding.EncodeToString([]byte(key)), "value": base64.StdEncoding.EncodeToString(value)})
	r, err := c.client.Post(etcd+"/v3/kv/put", "application/json", bytes.NewReader(body))
	if err != nil {
		fail(err.Error())
	}
	defer r.Body.Close()
	if answer, _ := io.ReadAll(r.Body); r.StatusCode != 200 {
		fail(fmt.Sprintf("etcd: HTTP %d: %.300s", r.StatusCode, answer))
	}
	c.writes.Add(1)
}

func (c *cluster) parallel(workers, n int, do func(i int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := int(next.Add(1)) - 1; i < n && c.failed.Load() == nil; i = int(next.Add(1)) - 1 {
				do(i)
			}
		}()
	}
	group.Wait()
	if why := c.failed.Load(); why != nil {
		fail(*why)
	}
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "")
	etcd := flag.String("etcd", "", "client URL of etcd")
	machines := flag.Int("machines", 0, "VMs with a VMI, two claims and two snapshots each")
	from := flag.Int("from", 0, "the first of them")
	wukongs := flag.Int("wukongs", 0, "Wukongs that have succeeded")
	touch := flag.Int("touch", 0, "changes to make, spread over the VMs")
	of := flag.Int("of", 1, "how many VMs there are")
	create := flag.Int("create", 0, "Wukongs without a source to create")
	clones := flag.Bool("clones", false, "with --create: clones of a source that is not there")
	full := flag.Bool("full", false, "with --create: clones of the --of stopped machines")
	sources := flag.Int("sources", 0, "stopped machines with one disk each")
	storage := flag.Bool("storage", false, "play storage that takes no time")
	mixed := flag.Int("mix", 0, "clones whose writes are to be sent without a worker")
	namespace := flag.String("namespace", "", "with --create, --sources and --mix")
	workers := flag.Int("workers", 16, "")
	flag.Parse()
	c := connect(*kubeconfig)
	began := time.Now()
	switch {
	case *storage:
		c.playStorage(*workers)
		return
	case *mixed > 0:
		prefix := fmt.Sprint("m", time.Now().UnixNano(), "-")
		c.parallel(*workers, *mixed, func(i int) { c.mix(*namespace, prefix, i) })
	case *sources > 0:
		c.send("POST", "/api/v1/namespaces", "application/json", m{"apiVersion": "v1", "kind": "Namespace", "metadata": m{"name": *namespace}})
		for i := range *sources {
			for _, o := range stopped(*namespace, i) {
				c.store(*etcd, o)
			}
		}
	case *touch > 0:
		round := fmt.Sprint(time.Now().UnixNano())
		c.parallel(*workers, *touch, func(i int) {
			// Each time to another value: what changes nothing is no event.
			o := machine(i * max(1, *of / *touch) % *of)
			c.send("PATCH", o.path()+"/"+o.object["metadata"].(m)["name"].(string), "application/merge-patch+json",
				m{"metadata": m{"annotations": m{"bench": fmt.Sprint(round, "-", i)}}})
		})
	case *create > 0:
		prefix := fmt.Sprint("w", time.Now().UnixNano(), "-")
		c.parallel(*workers, *create, func(i int) {
			switch {
			case *full:
				c.put(clone(*namespace, prefix, i, *of))
			case *clones:
				c.put(waitingWukong(*namespace, prefix, i))
			default:
				c.put(plainWukong(*namespace, prefix, i))
			}
		})
	default:
		for i := range namespaces {
			c.send("POST", "/api/v1/namespaces", "application/json", m{"apiVersion": "v1", "kind": "Namespace", "metadata": m{"name": fmt.Sprintf("load-%d", i)}})
		}
		c.parallel(*workers, *machines-*from, func(i int) {
			i += *from
			for _, o := range []thing{machine(i), instance(i), claim(i, 0), claim(i, 1), snapshot(i, 0), snapshot(i, 1)} {
				c.store(*etcd, o)
			}
		})
		c.parallel(*workers, max(0, *wukongs-*from), func(i int) { c.store(*etcd, wukong(i+*from)) })
	}
	took := time.Since(began).Seconds()
	fmt.Printf("{\"writes\": %d, \"seconds\": %.3f, \"perSecond\": %.0f}\n", c.writes.Load(), took, float64(c.writes.Load())/took)
}

func (o thing) path() string {
	meta := o.object["metadata"].(m)
	api := o.object["apiVersion"].(string)
	root := "/apis/"
	if !strings.Contains(api, "/") {
		root = "/api/"
	}
	return root + api + "/namespaces/" + meta["namespace"].(string) + "/" + o.resource
}
