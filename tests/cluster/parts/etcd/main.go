// The etcd server, as its own main package starts it (etcd server/main.go), so that a bed needs nothing
// but the Go toolchain.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
