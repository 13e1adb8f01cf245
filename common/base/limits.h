/*
 * Every maximum of the project, in one place. Whoever adds a buffer, queue, depth or retry adds its
 * bound here, with the reason or the source of the number.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#define KIB 1024u
#define MIB (1024u * 1024u)

/* Text of one struct err, with its wraps. */
#define ERR_MESSAGE_MAX 512

/* An AdmissionReview carries object and oldObject, each at most the API server's 3 MiB request
   limit, plus the envelope (controller-runtime pkg/webhook/admission/http.go reasons alike). */
#define LIMIT_REVIEW_BYTES (7u * MIB)
/* Values in one: fields, items, labels. A Wukong with all that its schema allows, before and after,
   has some ten thousand, and each costs a review some hundred nanoseconds and bytes. */
#define LIMIT_REVIEW_VALUES 50000
/* One object as the API server can store it (etcd's 1.5 MiB request limit), with room for JSON. */
#define LIMIT_OBJECT_BYTES (3u * MIB)
/* One line of a watch stream: one object and its envelope. */
#define LIMIT_WATCH_LINE_BYTES (4u * MIB)
/* A reply that is not a list: one object or a Status. */
#define LIMIT_REPLY_BYTES (4u * MIB)
/* Nesting of JSON and YAML. Kubernetes objects stay below 30; cJSON itself stops at 1000. */
#define LIMIT_JSON_DEPTH 100
/* Members of one JSON object, so that the duplicate check stays cheap. */
#define LIMIT_JSON_MEMBERS 20000
/* A YAML file and what its aliases may expand to ("billion laughs"). */
#define LIMIT_YAML_BYTES (8u * MIB)
#define LIMIT_YAML_NODES 200000
/* Of cloud-init data; KubeVirt takes 2 KiB of each in a spec (types.go cloudInitUserMaxLen). */
#define LIMIT_CLOUD_INIT_BYTES (8u * KIB)
#define LIMIT_CLOUD_INIT_NODES 1024
/* Request path with query: etcd keys and label selectors stay far below. */
#define LIMIT_PATH_BYTES (8u * KIB)
/* A projected ServiceAccount token; real ones are about 1.2 KiB. */
#define LIMIT_TOKEN_BYTES (64u * KIB)
/* A PEM bundle of certificates. */
#define LIMIT_PEM_BYTES (1u * MIB)
/* A kubeconfig file. */
#define LIMIT_KUBECONFIG_BYTES (4u * MIB)
/* One log line. */
#define LIMIT_LOG_LINE_BYTES (4u * KIB)
/* Kubernetes names: RFC 1123 label and subdomain. */
#define LIMIT_DNS_LABEL 63
#define LIMIT_DNS_SUBDOMAIN 253
/* Disks of one clone: the CRD's maxItems. */
#define LIMIT_DISKS 64
/* Replicas of one Wukong: the CRD's maximum. */
#define LIMIT_REPLICAS 100

#endif
