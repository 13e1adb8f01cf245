package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// features are the capabilities that one driver process declares. The sidecars ask once, when they
// start, so a change takes effect with their next start.
type features struct {
	snapshots, clones, expansion, listSnapshots, groups bool
}

func featureNames() []string {
	return []string{"snapshots", "clones", "expansion", "list-snapshots", "groups"}
}

// parseFeatures: all but groups are declared unless they are left out, groups when they are named.
func parseFeatures(with, without string) (features, error) {
	f := features{snapshots: true, clones: true, expansion: true, listSnapshots: true}
	flags := map[string]*bool{"snapshots": &f.snapshots, "clones": &f.clones,
		"expansion": &f.expansion, "list-snapshots": &f.listSnapshots, "groups": &f.groups}
	for _, list := range []struct {
		names    string
		declared bool
	}{{with, true}, {without, false}} {
		for _, name := range strings.Split(list.names, ",") {
			if name == "" {
				continue
			}
			if !slices.Contains(featureNames(), name) {
				return f, fmt.Errorf("no capability %q; there are %s", name,
					strings.Join(featureNames(), ", "))
			}
			*flags[name] = list.declared
		}
	}
	return f, nil
}

type identity struct {
	csi.UnimplementedIdentityServer
	name     string
	features features
}

func (i *identity) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (
	*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: i.name, VendorVersion: version}, nil
}

func (i *identity) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (
	*csi.GetPluginCapabilitiesResponse, error) {
	answer := &csi.GetPluginCapabilitiesResponse{Capabilities: []*csi.PluginCapability{{
		Type: &csi.PluginCapability_Service_{Service: &csi.PluginCapability_Service{
			Type: csi.PluginCapability_Service_CONTROLLER_SERVICE}}}}}
	if i.features.groups {
		answer.Capabilities = append(answer.Capabilities, &csi.PluginCapability{
			Type: &csi.PluginCapability_Service_{Service: &csi.PluginCapability_Service{
				Type: csi.PluginCapability_Service_GROUP_CONTROLLER_SERVICE}}})
	}
	if i.features.expansion {
		answer.Capabilities = append(answer.Capabilities, &csi.PluginCapability{
			Type: &csi.PluginCapability_VolumeExpansion_{
				VolumeExpansion: &csi.PluginCapability_VolumeExpansion{
					Type: csi.PluginCapability_VolumeExpansion_ONLINE}}})
	}
	return answer, nil
}

func (i *identity) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{Ready: wrapperspb.Bool(true)}, nil
}
