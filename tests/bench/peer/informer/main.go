// informer caches what wukong-worker caches, with client-go's shared informers and nothing else: no
// handler, no queue, no work. What it costs is what any Go controller on these objects costs at least.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "")
	health := flag.String("health", "127.0.0.1:0", "address of /readyz")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	stop := make(chan struct{})
	kinds := dynamicinformer.NewDynamicSharedInformerFactory(dynamic.NewForConfigOrDie(config), 0)
	for _, r := range []schema.GroupVersionResource{
		{Group: "vm.novasphere.dev", Version: "v1alpha1", Resource: "wukongs"},
		{Group: "kubevirt.io", Version: "v1", Resource: "virtualmachines"},
		{Group: "kubevirt.io", Version: "v1", Resource: "virtualmachineinstances"},
		{Group: "snapshot.storage.k8s.io", Version: "v1", Resource: "volumesnapshots"},
	} {
		kinds.ForResource(r)
	}
	core := informers.NewSharedInformerFactory(kubernetes.NewForConfigOrDie(config), 0)
	claims := core.Core().V1().PersistentVolumeClaims().Informer()
	began := time.Now()
	kinds.Start(stop)
	core.Start(stop)
	kinds.WaitForCacheSync(stop)
	core.WaitForCacheSync(stop)
	synced := time.Since(began)
	// What the lists left behind is given back, as it would be after some minutes anyway.
	runtime.GC()
	debug.FreeOSMemory()
	http.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%.3f %d\n", synced.Seconds(), len(claims.GetStore().ListKeys()))
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(*health, nil))
}
