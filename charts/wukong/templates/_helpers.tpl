{{- define "wukong.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Prefix of all names: the release, with the chart's name unless the release already says it. */}}
{{- define "wukong.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := include "wukong.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "wukong.labels" -}}
app.kubernetes.io/name: {{ include "wukong.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: wukong-clone
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels and annotations of an object of one component; takes (dict "root" $ "component" ""). */}}
{{- define "wukong.meta" -}}
labels:
  {{- include "wukong.labels" .root | nindent 2 }}
  {{- with .component }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
  {{- range $key, $value := .labels }}
  {{ $key }}: {{ $value | quote }}
  {{- end }}
{{- $annotations := merge (dict) (default (dict) .annotations) .root.Values.commonAnnotations }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Labels of a Pod: a value of the user's never replaces one that is selected by. */}}
{{- define "wukong.podLabels" -}}
{{- $labels := fromYaml (include "wukong.labels" .root) }}
{{- $selected := fromYaml (include "wukong.selector" (dict "root" .root "component" .component)) }}
{{- toYaml (mergeOverwrite (dict) $labels (default (dict) .own) $selected) }}
{{- end }}

{{- define "wukong.selector" -}}
app.kubernetes.io/name: {{ include "wukong.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "wukong.webhook.serviceAccount" -}}
{{- default (printf "%s-webhook" (include "wukong.fullname" .)) .Values.webhook.serviceAccount.name }}
{{- end }}

{{- define "wukong.worker.serviceAccount" -}}
{{- default (printf "%s-worker" (include "wukong.fullname" .)) .Values.worker.serviceAccount.name }}
{{- end }}

{{/* The rights of a component in one namespace, when it serves some alone; takes (dict "root" $
"component" "" "namespace" ""). */}}
{{- define "wukong.roleIn" -}}
{{- $name := printf "%s-%s-served" (include "wukong.fullname" .root) .component -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ .namespace }}
  {{- include "wukong.meta" . | nindent 2 }}
rules:
{{ include (printf "wukong.%s.namespacedRules" .component) .root }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ .namespace }}
  {{- include "wukong.meta" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name }}
subjects:
- kind: ServiceAccount
  name: {{ include (printf "wukong.%s.serviceAccount" .component) .root }}
  namespace: {{ .root.Release.Namespace }}
{{- end }}

{{- define "wukong.webhook.service" -}}
{{ include "wukong.fullname" . }}-webhook
{{- end }}

{{/* Namespaces that the webhook is kept out of, as a YAML list. */}}
{{- define "wukong.webhook.excluded" -}}
{{- toYaml (uniq (concat (list "kube-system" .Release.Namespace) .Values.webhook.excludedNamespaces)) }}
{{- end }}

{{- define "wukong.caSecret" -}}
{{ include "wukong.fullname" . }}-webhook-ca
{{- end }}

{{- define "wukong.stampConfigMap" -}}
{{ include "wukong.fullname" . }}-stamp
{{- end }}

{{- define "wukong.lease" -}}
{{ include "wukong.fullname" . }}-worker
{{- end }}

{{/* Secret that is mounted as --cert-dir; empty in selfSigned mode. */}}
{{- define "wukong.certSecret" -}}
{{- if eq .Values.certs.mode "certManager" -}}
{{ include "wukong.fullname" . }}-webhook-tls
{{- else if eq .Values.certs.mode "provided" -}}
{{ .Values.certs.provided.secretName }}
{{- end }}
{{- end }}

{{/* The image of a component: what it says itself goes before what all share; takes (dict "root" $ "component" ""). */}}
{{- define "wukong.image" -}}
{{- $image := merge (dict) (index .root.Values .component).image .root.Values.image }}
{{- $name := $image.repository }}
{{- with $image.registry }}{{ $name = printf "%s/%s" (trimSuffix "/" .) $name }}{{ end }}
{{- if $image.digest }}{{ printf "%s@%s" $name $image.digest }}
{{- else }}{{ printf "%s:%s" $name (default .root.Chart.AppVersion $image.tag) }}{{ end }}
{{- end }}

{{/* Spread over nodes as far as possible, unless the values say otherwise. */}}
{{- define "wukong.spread" -}}
{{- if .values.topologySpreadConstraints }}
{{- toYaml .values.topologySpreadConstraints }}
{{- else -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "wukong.selector" . | nindent 6 }}
{{- end }}
{{- end }}
