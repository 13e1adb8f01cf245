package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

// Storage that takes no time, so that what a clone takes is what the worker and the API server take: it
// binds each claim with one write. Nothing is copied and nothing checked.
//
//	fill --kubeconfig F --storage          until SIGTERM

const merge = "application/merge-patch+json"

type seen struct {
	Type   string
	Object struct {
		Metadata struct{ Name, Namespace string }
	}
}

func (c *cluster) watch(path string, events chan<- seen) {
	client := &http.Client{Transport: c.client.Transport} // without the deadline of a request
	r, err := client.Get(c.host + path + "?watch=true&resourceVersion=" + c.version(path))
	if err != nil || r.StatusCode != http.StatusOK {
		fail(fmt.Sprintf("watch of %s: %v", path, err))
	}
	for lines := bufio.NewReader(r.Body); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			fail(fmt.Sprintf("watch of %s: %v", path, err))
		}
		var e seen
		if json.Unmarshal(line, &e) == nil {
			events <- e
		}
	}
}

func (c *cluster) version(path string) string {
	r, err := c.client.Get(c.host + path + "?limit=1")
	if err != nil {
		fail(err.Error())
	}
	defer r.Body.Close()
	var list struct {
		Metadata struct{ ResourceVersion string }
	}
	text, _ := io.ReadAll(r.Body)
	if err := json.Unmarshal(text, &list); err != nil || list.Metadata.ResourceVersion == "" {
		fail(fmt.Sprintf("list of %s: %.300s", path, text))
	}
	return list.Metadata.ResourceVersion
}

func (c *cluster) bind(namespace, name string) {
	c.send("PATCH", "/api/v1/namespaces/"+namespace+"/persistentvolumeclaims/"+name+"/status", merge,
		m{"status": m{"phase": "Bound", "accessModes": []any{"ReadWriteMany"}, "capacity": m{"storage": "40Gi"}}})
}

func (c *cluster) playStorage(workers int) {
	claims := make(chan seen, 4096)
	go c.watch("/api/v1/persistentvolumeclaims", claims)
	for range workers {
		go func() {
			for e := range claims {
				if e.Type == "ADDED" {
					c.bind(e.Object.Metadata.Namespace, e.Object.Metadata.Name)
				}
			}
		}()
	}
	fmt.Println(`{"ready": true}`)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
}
