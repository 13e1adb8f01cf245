{{/* The alerts, as a YAML list; monitoring.yaml gives each the address of its page. */}}
{{- define "wukong.alerts" -}}
{{- $fullname := include "wukong.fullname" . -}}
- alert: WukongWebhookDown
  expr: absent(up{job="{{ $fullname }}-webhook-metrics", namespace="{{ .Release.Namespace }}"} == 1)
  for: 5m
  labels: {severity: critical}
  annotations:
    summary: No replica of the Wukong webhook answers.
    description: >-
      With failurePolicy Fail no Wukong can be created or changed. Look at the Pods and Events of
      the Deployment {{ $fullname }}-webhook.
- alert: WukongWorkerDown
  expr: absent(up{job="{{ $fullname }}-worker-metrics", namespace="{{ .Release.Namespace }}"} == 1)
  for: 5m
  labels: {severity: critical}
  annotations:
    summary: No replica of the Wukong worker answers.
    description: >-
      Clones do not continue and a frozen guest is thawed only by its own time limit. Look at the
      Pods and Events of the Deployment {{ $fullname }}-worker.
- alert: WukongWorkerWithoutLeader
  expr: >-
    absent(max(wukong_worker_leader{namespace="{{ .Release.Namespace }}"}) == 1)
  for: 5m
  labels: {severity: critical}
  annotations:
    summary: No replica of the Wukong worker holds the lease.
    description: >-
      Nothing is cloned. Look at the worker's log and at the Lease
      {{ include "wukong.lease" . }} in {{ .Release.Namespace }}.
- alert: WukongPoliciesUnknown
  expr: >-
    max(wukong_clone_policies_incomplete{namespace="{{ .Release.Namespace }}"}) > 0
    or max(wukong_clone_policies{namespace="{{ .Release.Namespace }}", state="unreadable"}) > 0
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: There are ClonePolicies that Wukong Clone cannot read or keep.
    description: >-
      What is not known of a policy may deny, so clones are refused or wait. kubectl get clonepolicies
      shows which.
- alert: WukongClockSkewed
  expr: >-
    abs(wukong_clock_skew_seconds{namespace="{{ .Release.Namespace }}"}) > 10
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: "The clock of the node of {{ "{{" }} $labels.pod {{ "}}" }} differs from the API server's by more than ten seconds."
    description: >-
      Windows and deadlines are judged by the wrong time. Set the node's clock right.
- alert: WukongCacheStale
  expr: >-
    max by (pod, resource) (wukong_cache_age_seconds{namespace="{{ .Release.Namespace }}", resource!="events"}) > 300
    or max by (pod, resource) (wukong_cache_age_seconds{namespace="{{ .Release.Namespace }}"}) > 749
  for: 5m
  labels: {severity: critical}
  annotations:
    summary: "{{ "{{" }} $labels.pod {{ "}}" }} has had no news of {{ "{{" }} $labels.resource {{ "}}" }} for more than five minutes."
    description: >-
      What it does is done by what it last saw. Its log says which list or watch fails.
- alert: WukongObjectsUnreadable
  expr: >-
    max by (resource) (wukong_objects_unreadable{namespace="{{ .Release.Namespace }}"}) > 0
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: "There are {{ "{{" }} $labels.resource {{ "}}" }} that Wukong Clone cannot read."
    description: >-
      Clones that need one of them wait with reason ObjectUnreadable, all others continue. The worker's
      log names the object.
- alert: WukongGuestFrozenLong
  expr: >-
    increase(wukong_guest_frozen_seconds_count{namespace="{{ .Release.Namespace }}"}[15m])
    - ignoring(le) increase(wukong_guest_frozen_seconds_bucket{namespace="{{ .Release.Namespace }}", le="10"}[15m]) > 0
  labels: {severity: warning}
  annotations:
    summary: A guest was held frozen for more than ten seconds.
    description: >-
      Its applications stood still meanwhile. The storage takes its snapshots slowly, or the guest
      agent answers late: status.cloneStatus and the worker's log name the clone.
- alert: WukongClonesFailing
  expr: >-
    sum by (reason) (increase(wukong_clones_total{namespace="{{ .Release.Namespace }}", result="failed"}[1h])) > 3
  labels: {severity: warning}
  annotations:
    summary: "Clones fail with reason {{ "{{" }} $labels.reason {{ "}}" }}."
    description: kubectl get wukong -A shows which; the reason has a remedy in docs/user/reasons.md.
{{- range $which := list "leaf" "ca" }}
- alert: WukongWebhook{{ ternary "Certificate" "Authority" (eq $which "leaf") }}NotRenewed
  expr: >-
    (wukong_webhook_certificate_expiry_timestamp_seconds{namespace="{{ $.Release.Namespace }}", certificate="{{ $which }}"} - time())
    / (wukong_webhook_certificate_expiry_timestamp_seconds{namespace="{{ $.Release.Namespace }}", certificate="{{ $which }}"}
    - wukong_webhook_certificate_start_timestamp_seconds{namespace="{{ $.Release.Namespace }}", certificate="{{ $which }}"}) < 0.25
    and wukong_webhook_certificate_expiry_timestamp_seconds{namespace="{{ $.Release.Namespace }}", certificate="{{ $which }}"} > 0
  for: 10m
  labels: {severity: warning}
  annotations:
    summary: The webhook's {{ ternary "serving certificate" "certificate authority" (eq $which "leaf") }} has less than a quarter of its life left and was not renewed.
    description: >-
      It is renewed at two thirds of its life. Look at the webhook's log; with certs.mode
      certManager or provided, at who writes the Secret.
- alert: WukongWebhook{{ ternary "Certificate" "Authority" (eq $which "leaf") }}Expires
  expr: >-
    0 < wukong_webhook_certificate_expiry_timestamp_seconds{namespace="{{ $.Release.Namespace }}", certificate="{{ $which }}"}
    < time() + 86400
  for: 10m
  labels: {severity: critical}
  annotations:
    summary: The webhook's {{ ternary "serving certificate" "certificate authority" (eq $which "leaf") }} ends within a day and was not renewed.
    description: >-
      Without it no Wukong can be created or changed. Look at the webhook's log; with certs.mode
      certManager or provided, at who writes the Secret.
{{- end }}
- alert: WukongApiErrors
  expr: >-
    sum by (pod, code) (rate(rest_client_requests_total{namespace="{{ .Release.Namespace }}", pod=~"{{ $fullname }}-.*", code=~"403|429|5..|<error>"}[10m])) > 0.5
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: "The API server answers {{ "{{" }} $labels.pod {{ "}}" }} with {{ "{{" }} $labels.code {{ "}}" }}."
    description: >-
      403 means that a right is missing (docs/admin/rbac.md), 429 that the API server limits us, anything
      else that it is unwell.
{{- end }}
