// cdi-standin plays CDI (the containerized data importer) in the test bed: DataVolumes that are cloned
// from a claim or from a VolumeSnapshot, StorageProfiles, and the admission of DataVolumes. What it
// does follows kubevirt/containerized-data-importer, whose source files the comments name. See
// README.md for what is left out.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

type options struct {
	kubeconfig, listen, certificate, key, clientCA, data, state string
}

func main() {
	var o options
	flag.StringVar(&o.kubeconfig, "kubeconfig", "", "the identity to act as")
	flag.StringVar(&o.listen, "listen", "", "ADDRESS:PORT of the admission webhooks")
	flag.StringVar(&o.certificate, "tls-cert", "", "certificate of the webhooks")
	flag.StringVar(&o.key, "tls-key", "", "its key")
	flag.StringVar(&o.clientCA, "client-ca", "", "authority of client certificates, if any are shown")
	flag.StringVar(&o.data, "data", "", "folders of the CSI drivers, separated by commas")
	flag.StringVar(&o.state, "state", "", "folder for the token key and faults.json")
	flag.Parse()
	log.SetFlags(log.LstdFlags | log.Lmicroseconds | log.LUTC)
	if o.listen == "" || o.certificate == "" || o.key == "" || o.data == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, o options) error {
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 200, 400
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	signer, err := newSigner(o.state)
	if err != nil {
		return err
	}
	a := newAPI(client)
	tlsConfig, err := o.tls()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: newAdmission(a, signer).routes(), TLSConfig: tlsConfig,
		ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() {
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	go func() {
		if err := newController(a, signer, strings.Split(o.data, ","), o.state).run(ctx); err != nil {
			failed <- err
		}
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return server.Close()
	}
}

func (o options) tls() (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(o.certificate, o.key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}
	if o.clientCA != "" {
		authority, err := os.ReadFile(o.clientCA)
		if err != nil {
			return nil, err
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(authority) {
			return nil, fmt.Errorf("%s holds no certificate", o.clientCA)
		}
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return config, nil
}
