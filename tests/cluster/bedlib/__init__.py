"""The test bed: a real Kubernetes control plane as ordinary processes on loopback.

parts.py    what the bed is made of and how each part is built
pki.py      certificates
process.py  one child process: start, stop, kill, pause, its log
kube.py     a small HTTP client for the API server
bed.py      a whole bed: its folder, its parts, up and down
services.py how each part is started
proxy.py    a network that fails, between one part and the API server
records.py  what guests wrote to their disks
objects.py  builders for the objects of cases
ports.py    free ports
install.py  the objects a bed holds before the first test
harness.py  what the cases in ../cases use
"""
