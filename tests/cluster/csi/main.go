// csi-file is a CSI driver whose volumes are sparse files in one folder. It is the storage of the
// test bed: identity and controller service, no node service, no root. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

const version = "1.0.0"

func main() {
	endpoint := flag.String("endpoint", "", "unix:///path/csi.sock")
	data := flag.String("data", "", "folder of volumes, snapshots and faults.json")
	name := flag.String("driver-name", "file.csi.novasphere.dev", "what the driver calls itself")
	with := flag.String("with", "", "capabilities to add, separated by commas: groups")
	without := flag.String("without", "",
		"capabilities to leave out, separated by commas: "+strings.Join(featureNames(), ", "))
	faults := flag.Bool("faults", false, "print the names of all faults and end")
	flag.Parse()
	if *faults {
		fmt.Println(strings.Join(faultNames(), "\n"))
		return
	}
	log.SetFlags(log.LstdFlags | log.Lmicroseconds | log.LUTC)
	if *endpoint == "" || *data == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*endpoint, *data, *name, *with, *without); err != nil {
		log.Fatal(err)
	}
}

func run(endpoint, data, name, with, without string) error {
	features, err := parseFeatures(with, without)
	if err != nil {
		return err
	}
	unlock, err := lockFolder(data)
	if err != nil {
		return err
	}
	defer unlock()
	store, err := openStore(data)
	if err != nil {
		return err
	}
	listener, err := listen(endpoint)
	if err != nil {
		return err
	}
	server := newServer(name, features, store)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-stop
		// Calls that wait for an injected delay must not hold up the end.
		time.AfterFunc(time.Second, server.Stop)
		server.GracefulStop()
	}()
	log.Printf("driver %s %s serves %s on %s", name, version, data, endpoint)
	return server.Serve(listener)
}

func newServer(name string, features features, store *store) *grpc.Server {
	server := grpc.NewServer(grpc.UnaryInterceptor(logCall))
	csi.RegisterIdentityServer(server, &identity{name: name, features: features})
	driver := newController(features, store)
	csi.RegisterControllerServer(server, driver)
	if features.groups {
		csi.RegisterGroupControllerServer(server, &groupController{controller: driver})
	}
	return server
}

func listen(endpoint string) (net.Listener, error) {
	path, ok := strings.CutPrefix(endpoint, "unix://")
	if !ok || !filepath.IsAbs(path) {
		return nil, fmt.Errorf("endpoint %q is not unix:///absolute/path", endpoint)
	}
	// A driver that was killed leaves its socket behind. The folder's lock says that it is dead.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.Listen("unix", path)
}

// lockFolder keeps a second driver away from the same files. The kernel lets go of the lock when the
// process ends, however it ends.
func lockFolder(data string) (func(), error) {
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(data, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	// A predecessor that was killed a moment ago may not have been reaped yet.
	for try := 0; ; try++ {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if try == 50 {
			file.Close()
			return nil, fmt.Errorf("%s is in use by another driver: %w", data, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func logCall(ctx context.Context, request any, info *grpc.UnaryServerInfo,
	handler grpc.UnaryHandler) (any, error) {
	began := time.Now()
	answer, err := handler(ctx, request)
	method := info.FullMethod[strings.LastIndexByte(info.FullMethod, '/')+1:]
	if method == "Probe" || strings.HasPrefix(method, "Get") {
		return answer, err
	}
	log.Printf("%s %v -> %v, %s, %d ms", method, request, answer, status.Convert(err).Message(),
		time.Since(began).Milliseconds())
	return answer, err
}
