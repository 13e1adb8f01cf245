#!/bin/bash
# The certificates and kubeconfigs of a cluster of one node.
#
# usage: pki.sh FOLDER ADDRESS
set -eu
mkdir -p "$1"
cd "$1"
here=$PWD ip=$2
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 30 \
    -subj /CN=node-ca 2>/dev/null
issue() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2" 2>/dev/null
    printf '%b' "$3" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -out "$1.crt" -days 30 -extfile "$1.ext" 2>/dev/null
}
names="DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost,IP:127.0.0.1,IP:10.96.0.1,IP:$ip"
issue apiserver /CN=kube-apiserver "subjectAltName=$names\nextendedKeyUsage=serverAuth"
client="extendedKeyUsage=clientAuth"
issue admin "/O=system:masters/CN=admin" $client
issue kcm "/CN=system:kube-controller-manager" $client
issue sched "/CN=system:kube-scheduler" $client
issue proxy "/CN=system:kube-proxy" $client
issue kubelet "/O=system:nodes/CN=system:node:node1" $client
issue kapi "/O=system:masters/CN=kube-apiserver-kubelet-client" $client
issue kubelet-server "/CN=system:node:node1" "subjectAltName=DNS:node1,IP:$ip,IP:127.0.0.1\nextendedKeyUsage=serverAuth"
openssl genrsa -out sa.key 2048 2>/dev/null
openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
for user in admin kcm sched proxy kubelet; do
    cat >"$user.conf" <<X
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://$ip:26443", certificate-authority: $here/ca.crt}}]
users: [{name: u, user: {client-certificate: $here/$user.crt, client-key: $here/$user.key}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
X
done
