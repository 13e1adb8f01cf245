package control

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"novasphere.dev/wukong/tests/cluster/kubevirt/guest"
	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
)

// Resource names a kind in an error as KubeVirt does: in the singular.
func Resource(name string) schema.GroupResource {
	return schema.GroupResource{Group: "kubevirt.io", Resource: name}
}

// viaHandler is virt-api's call to virt-handler: it waits for a while and makes an error of everything
// but success (client-go/kubecli/handler.go, rest/subresource.go). What it called goes on.
func (n *Node) viaHandler(vmi obj.M, verb string, call func() error) error {
	patience := Milliseconds(vmi, "handler-timeout", n.opt.HandlerTimeout)
	done := make(chan error, 1)
	go func() { done <- call() }()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-done:
		var launcher LauncherError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &launcher):
			return apierrors.NewInternalError(fmt.Errorf("unexpected return code %d (%d %s), message: %s",
				http.StatusBadRequest, http.StatusBadRequest, http.StatusText(http.StatusBadRequest), err.Error()))
		default:
			return apierrors.NewInternalError(err)
		}
	case <-timer.C:
		return apierrors.NewInternalError(fmt.Errorf("Put %q: context deadline exceeded (Client.Timeout exceeded "+
			"while awaiting headers)", handlerURL(vmi, verb)))
	}
}

func handlerURL(vmi obj.M, verb string) string {
	return fmt.Sprintf("https://127.0.0.1:8186/v1/namespaces/%s/virtualmachineinstances/%s/%s",
		obj.Str(vmi, "metadata", "namespace"), obj.Str(vmi, "metadata", "name"), verb)
}

// Freeze is the subresource freeze (rest/lifecycle.go FreezeVMIRequestHandler).
func (n *Node) Freeze(vmi obj.M, body []byte, user string) error {
	err := n.freeze(vmi, body, user)
	n.logRequest(guest.EventFreezeRequest, vmi, user, err)
	return err
}

func (n *Node) freeze(vmi obj.M, body []byte, user string) error {
	name := obj.Str(vmi, "metadata", "name")
	if obj.Str(vmi, "status", "phase") != "Running" || n.strikes(vmi, "freeze-409") {
		return apierrors.NewConflict(Resource("virtualmachineinstance"), name, errors.New("VM is not running"))
	}
	late := Milliseconds(vmi, "freeze-late", -1)
	if _, counted := Annotation(vmi, "freeze-late-times"); counted && !n.strikes(vmi, "freeze-late-times") {
		late = -1
	}
	if late >= 0 {
		n.LateFreeze(vmi, body, user, late)
		return n.viaHandler(vmi, "freeze", func() error {
			time.Sleep(Milliseconds(vmi, "handler-timeout", n.opt.HandlerTimeout) + time.Second)
			return nil
		})
	}
	return n.viaHandler(vmi, "freeze", func() error { return n.FreezeOnNode(vmi, body, user) })
}

// Unfreeze is the subresource unfreeze.
func (n *Node) Unfreeze(vmi obj.M, user string) error {
	err := n.unfreeze(vmi, user)
	n.logRequest(guest.EventUnfreezeRequest, vmi, user, err)
	return err
}

func (n *Node) unfreeze(vmi obj.M, user string) error {
	if obj.Str(vmi, "status", "phase") != "Running" {
		return apierrors.NewConflict(Resource("virtualmachineinstance"), obj.Str(vmi, "metadata", "name"),
			errors.New("VMI is not running"))
	}
	if n.strikes(vmi, "unfreeze-lost") {
		// The node is out of reach: nothing happens there, the safety timer included.
		return apierrors.NewInternalError(fmt.Errorf("Put %q: dial tcp 127.0.0.1:8186: connect: connection refused",
			handlerURL(vmi, "unfreeze")))
	}
	return n.viaHandler(vmi, "unfreeze", func() error { return n.UnfreezeOnNode(vmi, user) })
}

// logRequest records a request with its answer and when it was answered.
func (n *Node) logRequest(event string, vmi obj.M, user string, err error) {
	e := guest.Entry{Event: event, Namespace: obj.Str(vmi, "metadata", "namespace"),
		Name: obj.Str(vmi, "metadata", "name"), UID: obj.Str(vmi, "metadata", "uid"), User: user, Code: http.StatusOK}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		e.Code, e.Message = int(status.Status().Code), status.Status().Message
	}
	n.Log.Add(e)
}
