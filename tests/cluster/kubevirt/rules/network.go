package rules

import (
	"fmt"
	"net"
	"regexp"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
)

var interfaceName = regexp.MustCompile(`^[A-Za-z0-9-_]+$`)

var interfaceModels = map[string]bool{"": true, "e1000": true, "e1000e": true, "igb": true, "ne2k_pci": true,
	"pcnet": true, "rtl8139": true, "virtio": true}

// reservedMAC is the in-pod bridge's of a masquerade interface (pkg/network/link/mac.go).
const reservedMAC = "02:00:00:00:00:00"

// Network is pkg/network/admitter. It does not compare MAC addresses: two interfaces, or two machines,
// with the same one are accepted by KubeVirt (it is KubeMacPool that refuses them).
func Network(field string, spec obj.M) (c Causes) {
	networks := obj.List(spec, "networks")
	interfaces := obj.List(spec, "domain", "devices", "interfaces")
	pods, names := 0, map[string]obj.M{}
	for i, network := range networks {
		at := fmt.Sprintf("%s.networks[%d]", field, i)
		kinds := 0
		for _, key := range []string{"pod", "multus", "resourceClaim"} {
			if obj.Has(network, key) {
				kinds++
			}
		}
		if obj.Has(network, "pod") {
			pods++
		}
		if kinds == 0 {
			c.add(required, at, "should have a network type")
		} else if kinds > 1 {
			c.add(required, at, "should have only one network type")
		}
		if obj.Has(network, "multus") && obj.Str(network, "multus", "networkName") == "" {
			c.add(required, at, "CNI delegating plugin must have a networkName")
		}
		name := obj.Str(network, "name")
		if names[name] != nil {
			c.add(duplicate, at+".name",
				"Network with name %q already exists, every network must have a unique name", name)
		}
		names[name] = network
	}
	if pods > 1 {
		c.add(duplicate, field+".interfaces", "more than one interface is connected to a pod network in %s",
			field+".interfaces")
	}
	seen := map[string]bool{}
	for i, iface := range interfaces {
		at := fmt.Sprintf("%s.domain.devices.interfaces[%d]", field, i)
		c = append(c, networkInterface(at, iface, names)...)
		name := obj.Str(iface, "name")
		if seen[name] {
			c.add(duplicate, at+".name", "Only one interface can be connected to one specific network")
		}
		seen[name] = true
	}
	for i, network := range networks {
		if name := obj.Str(network, "name"); !seen[name] {
			at := fmt.Sprintf("%s.networks[%d].name", field, i)
			c.add(required, at, "%s '%s' not found.", at, name)
		}
	}
	return c
}

func networkInterface(at string, iface obj.M, networks map[string]obj.M) (c Causes) {
	name := obj.Str(iface, "name")
	network := networks[name]
	bindings := 0
	for _, key := range []string{"bridge", "masquerade", "sriov", "passtBinding", "binding"} {
		if obj.Has(iface, key) {
			bindings++
		}
	}
	old := obj.Has(iface, "slirp") || obj.Has(iface, "passt") || obj.Has(iface, "macvtap")
	if bindings > 1 || (bindings == 0 && !old) {
		c.add(invalid, at, "logical %s interface must have exactly one binding method or binding plugin", name)
	}
	mac := obj.Str(iface, "macAddress")
	if obj.Has(iface, "masquerade") {
		if network != nil && !obj.Has(network, "pod") {
			c.add(invalid, at+".name", "Masquerade interface only implemented with pod network")
		}
		if mac == reservedMAC {
			c.add(invalid, at+".macAddress",
				"The requested MAC address is reserved for the in-pod bridge. Please choose another one.")
		}
	}
	if network == nil {
		c.add(invalid, at+".name", "%s '%s' not found.", at+".name", name)
	}
	if !interfaceName.MatchString(name) {
		c.add(invalid, at+".name",
			"Network interface name can only contain alphabetical characters, numbers, dashes (-) or underscores (_)")
	}
	if model := obj.Str(iface, "model"); !interfaceModels[model] {
		c.add(notSupported, at+".model", "interface %s uses model %s that is not supported.", at+".name", model)
	}
	if mac != "" {
		parsed, err := net.ParseMAC(mac)
		if err != nil {
			c.add(invalid, at+".macAddress", "interface %s has malformed MAC address (%s).", at+".name", mac)
		} else if len(parsed) > 6 {
			c.add(invalid, at+".macAddress", "interface %s has too long MAC address (%s).", at+".name", mac)
		}
	}
	return c
}

// discontinued is pkg/network/admitter/discontinued.go, asked at creation only.
func discontinued(field string, spec obj.M) (c Causes) {
	for i, iface := range obj.List(spec, "domain", "devices", "interfaces") {
		at := fmt.Sprintf("%s.domain.devices.interfaces[%d]", field, i)
		for key, name := range map[string]string{"slirp": "Slirp interface support", "passt": "Passt network binding",
			"macvtap": "Macvtap network binding"} {
			if obj.Has(iface, key) {
				c.add(notSupported, at+"."+key, "%s has been discontinued since v1.3", name)
			}
		}
	}
	return c
}
