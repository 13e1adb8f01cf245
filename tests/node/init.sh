#!/bin/bash
# PID 1 of the node's own PID namespace, in mount, network, UTS and IPC namespaces of its own: when it ends, every
# process, mount and interface of the node ends with it.
#
# From the environment: STATE (folder of the node), HERE (this folder), ETCD, APISERVER, KUBELET (folders of
# programs), KUBECTL (program).
set -u
IP=10.200.0.1 R=$STATE
hostname node1

mount --make-rprivate / && mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/lock "$R"/{kubelet,podlogs,containerd,etcd,cni/net.d,log,etc}
# Nothing of the node lands in the real /etc, /var and /opt: the upper layers are in its folder.
for d in etc var/lib var/log opt usr/libexec; do
    mkdir -p "$R/up/$d" "$R/wk/$d"
    mount -t overlay -o "lowerdir=/$d,upperdir=$R/up/$d,workdir=$R/wk/$d" overlay "/$d"
done
mkdir -p /var/lib/kubelet /var/log/pods /var/log/containers
mount --bind "$R/kubelet" /var/lib/kubelet
mount --bind "$R/podlogs" /var/log/pods
# The kubelet would write these for the whole machine: it finds them set.
for pair in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
    file=$R/etc/$(echo "${pair%=*}" | tr / _)
    echo "${pair#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${pair%=*}"
done

ip link set lo up
ip link add node0 type veth peer name node0p
ip addr add $IP/24 dev node0
ip link set node0 up
ip link set node0p up
# Without a default route there is no way to a ClusterIP before it is translated.
ip route add default via 10.200.0.254 dev node0
sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1

bash "$HERE/pki.sh" "$R/pki" $IP
cat >"$R/cni/net.d/10-bridge.conflist" <<X
{"cniVersion":"1.0.0","name":"pods","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,"hairpinMode":true,
  "ipam":{"type":"host-local","ranges":[[{"subnet":"10.244.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}],"dataDir":"$R/cni/ipam"}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
X
cat >"$R/etc/containerd.toml" <<X
version = 2
root = "$R/containerd/root"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  # Without it a machine whose root lacks CAP_SYS_RESOURCE starts no Pod.
  restrict_oom_score_adj = true
  sandbox_image = "localhost/pause:1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$R/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
X
echo "# none" >"$R/etc/resolv.conf"
cat >"$R/etc/kubelet.yaml" <<X
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
failSwapOn: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $R/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $R/pki/kubelet-server.crt
tlsPrivateKeyFile: $R/pki/kubelet-server.key
resolvConf: $R/etc/resolv.conf
clusterDomain: cluster.local
clusterDNS: [10.96.0.10]
# The disk is the machine's, and may be fuller than a node's should be.
imageGCHighThresholdPercent: 100
evictionHard: {"imagefs.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.inodesFree": "0%"}
volumePluginDir: /var/lib/kubelet/volume-plugins
maxOpenFiles: 20000
X
cat >"$R/etc/proxy.yaml" <<X
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: $R/pki/proxy.conf}
clusterCIDR: 10.244.0.0/16
hostnameOverride: node1
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
X

begin() {
    local name=$1
    shift
    "$@" >"$R/log/$name.log" 2>&1 &
}
begin containerd /usr/bin/containerd -c "$R/etc/containerd.toml"
begin etcd "$ETCD/etcd" --data-dir "$R/etcd" --listen-client-urls http://127.0.0.1:22379 \
    --advertise-client-urls http://127.0.0.1:22379 --listen-peer-urls http://127.0.0.1:22380 \
    --initial-advertise-peer-urls http://127.0.0.1:22380 --initial-cluster default=http://127.0.0.1:22380 --unsafe-no-fsync
P=$R/pki
begin apiserver "$APISERVER/kube-apiserver" --etcd-servers=http://127.0.0.1:22379 --secure-port=26443 \
    --bind-address=0.0.0.0 --advertise-address=$IP --tls-cert-file="$P/apiserver.crt" \
    --tls-private-key-file="$P/apiserver.key" --client-ca-file="$P/ca.crt" --service-account-key-file="$P/sa.pub" \
    --service-account-signing-key-file="$P/sa.key" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local --authorization-mode=Node,RBAC \
    --enable-admission-plugins=NodeRestriction --service-cluster-ip-range=10.96.0.0/16 --allow-privileged=true \
    --kubelet-client-certificate="$P/kapi.crt" --kubelet-client-key="$P/kapi.key" \
    --kubelet-certificate-authority="$P/ca.crt" --kubelet-preferred-address-types=InternalIP
for _ in $(seq 240); do
    "$KUBECTL" --kubeconfig "$P/admin.conf" get --raw /readyz >/dev/null 2>&1 && break
    sleep 0.5
done
begin controllers "$APISERVER/kube-controller-manager" --kubeconfig="$P/kcm.conf" \
    --service-account-private-key-file="$P/sa.key" --root-ca-file="$P/ca.crt" --use-service-account-credentials \
    --leader-elect=false --bind-address=127.0.0.1
begin scheduler "$KUBELET/kube-scheduler" --kubeconfig="$P/sched.conf" --authentication-kubeconfig="$P/sched.conf" \
    --authorization-kubeconfig="$P/sched.conf" --leader-elect=false --bind-address=127.0.0.1
for image in "$R"/images/*.tar; do
    for _ in $(seq 60); do
        ctr -a /run/containerd/containerd.sock -n k8s.io images import "$image" && break
        sleep 0.5
    done
done >"$R/log/import.log" 2>&1
begin kubelet "$KUBELET/kubelet" --config="$R/etc/kubelet.yaml" --kubeconfig="$P/kubelet.conf" \
    --hostname-override=node1 --node-ip=$IP --v=2
begin proxy "$KUBELET/kube-proxy" --config="$R/etc/proxy.yaml"
wait
