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
	"time"
)

// Storage that takes no time, so that what a clone takes is what the worker and the API server take: it
// answers a VolumeSnapshot with a content that is cut and ready, and binds claims, in as few writes as
// external-snapshotter and the volume controllers need at least. Nothing is copied and nothing checked.
//
//	fill --kubeconfig F --storage          until SIGTERM

const (
	snapshotAPI = "/apis/snapshot.storage.k8s.io/v1/"
	driver      = "file.csi.novasphere.dev"
	merge       = "application/merge-patch+json"
)

type seen struct {
	Type   string
	Object struct {
		Metadata struct {
			Name, Namespace, UID, ResourceVersion string
			Labels                                map[string]string
		}
		Spec struct {
			Source struct{ PersistentVolumeClaimName string }
		}
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

func contentOf(uid string) string { return "snapcontent-" + uid }

// cut makes the content and says that both are ready.
func (c *cluster) cut(namespace, name, uid string) {
	content := contentOf(uid)
	handle := "snap-" + uid
	c.send("POST", snapshotAPI+"volumesnapshotcontents", "application/json", m{"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
		"metadata": m{"name": content},
		"spec": m{"deletionPolicy": "Delete", "driver": driver, "volumeSnapshotClassName": "file", "sourceVolumeMode": "Block",
			"source":            m{"volumeHandle": "vol-" + uid},
			"volumeSnapshotRef": m{"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "namespace": namespace, "name": name, "uid": uid}}})
	now := time.Now()
	c.send("PATCH", snapshotAPI+"volumesnapshotcontents/"+content+"/status", merge,
		m{"status": m{"snapshotHandle": handle, "creationTime": now.UnixNano(), "readyToUse": true, "restoreSize": 40 << 30}})
	c.send("PATCH", snapshotAPI+"namespaces/"+namespace+"/volumesnapshots/"+name+"/status", merge,
		m{"status": m{"boundVolumeSnapshotContentName": content, "creationTime": now.UTC().Format(time.RFC3339), "readyToUse": true, "restoreSize": "40Gi"}})
}

func (c *cluster) bind(namespace, name string) {
	c.send("PATCH", "/api/v1/namespaces/"+namespace+"/persistentvolumeclaims/"+name+"/status", merge,
		m{"status": m{"phase": "Bound", "accessModes": []any{"ReadWriteMany"}, "capacity": m{"storage": "40Gi"}}})
}

func (c *cluster) playStorage(workers int) {
	snapshots, claims := make(chan seen, 4096), make(chan seen, 4096)
	go c.watch(snapshotAPI+"volumesnapshots", snapshots)
	go c.watch("/api/v1/persistentvolumeclaims", claims)
	for range workers {
		go func() {
			for {
				select {
				case e := <-snapshots:
					meta := e.Object.Metadata
					if e.Type == "ADDED" {
						c.cut(meta.Namespace, meta.Name, meta.UID)
					} else if e.Type == "DELETED" {
						c.send("DELETE", snapshotAPI+"volumesnapshotcontents/"+contentOf(meta.UID), "application/json", m{})
					}
				case e := <-claims:
					if e.Type == "ADDED" {
						c.bind(e.Object.Metadata.Namespace, e.Object.Metadata.Name)
					}
				}
			}
		}()
	}
	fmt.Println(`{"ready": true}`)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
}
