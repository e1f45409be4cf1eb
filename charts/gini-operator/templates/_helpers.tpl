{{/*
Puts into .Values what was left empty, as in `replicas:`. Every template begins with this, and the first that is rendered does it for all. Helm takes
an empty key away, and its default with it, so the defaults come from a copy of values.yaml.
*/}}
{{- define "gini-operator.defaults" -}}
{{- if not (hasKey .Values "filled") }}
{{- include "gini-operator.filled" (list .Values (.Files.Get "files/defaults/values.yaml" | fromYaml) true) }}
{{- $_ := set .Values "filled" true }}
{{- end }}
{{- end }}

{{/*
(list values defaults chartsOwn): an empty switch, number or text takes its default, and an empty list has nothing in it. A map that is Kubernetes'
own has nothing in it either; of one that is the chart's own, each key is as if it were empty.
*/}}
{{- define "gini-operator.filled" -}}
{{- $values := index . 0 }}
{{- $defaults := index . 1 }}
{{- $chartsOwn := index . 2 }}
{{- $kubernetesOwn := list "strategy" "podSecurityContext" "securityContext" "resources" "livenessProbe" "readinessProbe" }}
{{- range $key, $value := $values }}
{{- if kindIs "invalid" $value }}
{{- $_ := unset $values $key }}
{{- else if kindIs "map" $value }}
{{- include "gini-operator.filled" (list $value (default dict (index $defaults $key)) (and $chartsOwn (not (has $key $kubernetesOwn)))) }}
{{- end }}
{{- end }}
{{- range $key, $default := $defaults }}
{{- if or (hasKey $values $key) (kindIs "invalid" $default) }}
{{- else if eq $key "ports" }}
{{- /* A rule without ports would be about all of them. */}}
{{- $_ := set $values $key $default }}
{{- else if kindIs "slice" $default }}
{{- if $chartsOwn }}{{- $_ := set $values $key list }}{{- end }}
{{- else if not (kindIs "map" $default) }}
{{- $_ := set $values $key $default }}
{{- else if $chartsOwn }}
{{- $empty := dict }}
{{- $_ := set $values $key $empty }}
{{- if not (has $key $kubernetesOwn) }}
{{- include "gini-operator.filled" (list $empty $default true) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Names. All are unique for a release: namespaced ones begin with the full name, cluster-scoped ones with the namespace as well. */}}

{{- define "gini-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Release names may hold dots and begin with a digit; names of Services may not. */}}
{{- define "gini-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := .Values.fullnameOverride }}
{{- if not $full }}
{{- $full = ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- end }}
{{- $full = replace "." "-" $full }}
{{- if regexMatch "^[0-9]" $full }}
{{- $full = printf "gini-%s" $full }}
{{- end }}
{{- include "gini-operator.fitted" (list $full "") }}
{{- end }}

{{/* (list base suffix): both, within 63 characters. What is cut off is told apart by a hash of the whole base. */}}
{{- define "gini-operator.fitted" -}}
{{- $base := index . 0 }}
{{- $suffix := index . 1 }}
{{- if gt (add (len $base) (len $suffix)) 63 }}
{{- $base = printf "%s-%s" (trunc (int (sub 54 (len $suffix))) $base | trimSuffix "-" | trimSuffix ".") (sha256sum $base | trunc 8) }}
{{- end }}
{{- print $base $suffix }}
{{- end }}

{{/* (list . suffix): the name of a namespaced object. */}}
{{- define "gini-operator.namespaced" -}}
{{- include "gini-operator.fitted" (list (include "gini-operator.fullname" (index . 0)) (printf "-%s" (index . 1))) }}
{{- end }}

{{/* (list . suffix): the name of a cluster-scoped object, or of one in somebody else's namespace. */}}
{{- define "gini-operator.global" -}}
{{- $root := index . 0 }}
{{- $base := printf "%s.%s" $root.Release.Namespace (include "gini-operator.fullname" $root) }}
{{- include "gini-operator.fitted" (list $base (printf "-%s" (index . 1))) }}
{{- end }}

{{- define "gini-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "gini-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name must name the ServiceAccount to use where serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "gini-operator.subjects" -}}
subjects:
- kind: ServiceAccount
  name: {{ include "gini-operator.serviceAccountName" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
{{- end }}

{{/* Labels. */}}

{{- define "gini-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "gini-operator.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: manager
{{- end }}

{{/*
(list . component): the labels of an object. Helm itself adds app.kubernetes.io/managed-by where it installs: a label that two tools apply is in the
way when one takes over from the other.
*/}}
{{- define "gini-operator.labelsOf" -}}
{{- $root := index . 0 }}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name ($root.Chart.Version | replace "+" "_") | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/name" (include "gini-operator.name" $root)
  "app.kubernetes.io/instance" $root.Release.Name
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "app.kubernetes.io/component" (index . 1) }}
{{- toYaml (mergeOverwrite (deepCopy $root.Values.commonLabels) $own) }}
{{- end }}

{{- define "gini-operator.labels" -}}
{{- include "gini-operator.labelsOf" (list . "manager") }}
{{- end }}

{{/* Image. */}}

{{- define "gini-operator.image" -}}
{{- $image := .Values.image }}
{{- $registry := default $image.registry .Values.global.imageRegistry }}
{{- $repository := ternary (printf "%s/%s" $registry $image.repository) $image.repository (ne $registry "") }}
{{- if $image.digest }}
{{- printf "%s@%s" $repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{/* Pull secrets may be written as names, or as in a pod; each is named once. */}}
{{- define "gini-operator.pullSecrets" -}}
{{- $names := list }}
{{- range concat (default list .Values.global.imagePullSecrets) .Values.imagePullSecrets }}
{{- $names = append $names (ternary . (get (ternary dict . (kindIs "string" .)) "name") (kindIs "string" .)) }}
{{- end }}
{{- with uniq $names }}
imagePullSecrets:
{{- range . }}
- name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Go's collector works harder near nine tenths of the memory limit. Nothing where the limit is written in other units. */}}
{{- define "gini-operator.memoryLimit" -}}
{{- $limit := toString (dig "limits" "memory" "" .Values.resources) }}
{{- if regexMatch "^[0-9]+(Mi|Gi)$" $limit }}
{{- $mebibytes := mul (int (regexFind "^[0-9]+" $limit)) (ternary 1024 1 (hasSuffix "Gi" $limit)) }}
{{- printf "%dMiB" (div (mul $mebibytes 9) 10) }}
{{- end }}
{{- end }}

{{/* (list share replicas): how many pods a number, or a share such as 50%, is; Kubernetes rounds up. */}}
{{- define "gini-operator.shareOf" -}}
{{- $share := toString (index . 0) }}
{{- if hasSuffix "%" $share }}
{{- div (add (mul (trimSuffix "%" $share) (index . 1)) 99) 100 }}
{{- else }}
{{- int64 (index . 0) }}
{{- end }}
{{- end }}

{{/* Ports by which Gini's hosts are reached: those that allowedHosts names, or 443. */}}
{{- define "gini-operator.giniPorts" -}}
{{- $ports := list }}
{{- range default (list "*.gini.net") .Values.allowedHosts }}
{{- $port := regexFind ":[0-9]+$" . | trimPrefix ":" }}
{{- $ports = append $ports (int (default (ternary "80" "443" (hasPrefix "http://" .)) $port)) }}
{{- end }}
{{- $ports | uniq | sortAlpha | toJson }}
{{- end }}

{{/* (list rules clusterScoped): of RBAC rules, those for cluster-scoped resources, or the others. */}}
{{- define "gini-operator.rules" -}}
{{- $clusterScoped := list "namespaces" "customresourcedefinitions" }}
{{- $wanted := index . 1 }}
{{- $rules := list }}
{{- range index . 0 }}
{{- $resources := list }}
{{- range .resources }}
{{- if eq (has . $clusterScoped) $wanted }}
{{- $resources = append $resources . }}
{{- end }}
{{- end }}
{{- if $resources }}
{{- $rules = append $rules (merge (dict "resources" $resources) .) }}
{{- end }}
{{- end }}
{{- toJson $rules }}
{{- end }}

{{/* (list . suffix rules): a role and its binding, for all namespaces or in each watched one. */}}
{{- define "gini-operator.grant" -}}
{{- $root := index . 0 }}
{{- $name := include "gini-operator.global" (list $root (index . 1)) }}
{{- $rules := index . 2 }}
{{- if not $root.Values.watchNamespaces }}
{{- include "gini-operator.clusterGrant" (list $root $name $rules) }}
{{- end }}
{{- range $root.Values.watchNamespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name | quote }}
  namespace: {{ . | quote }}
  labels:
    {{- include "gini-operator.labels" $root | nindent 4 }}
rules:
{{- include "gini-operator.rules" (list $rules false) | fromJsonArray | toYaml | nindent 0 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name | quote }}
  namespace: {{ . | quote }}
  labels:
    {{- include "gini-operator.labels" $root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name | quote }}
{{ include "gini-operator.subjects" $root }}
{{- end }}
{{- end }}

{{/* (list . name rules): a ClusterRole and its binding. */}}
{{- define "gini-operator.clusterGrant" -}}
{{- $root := index . 0 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ index . 1 | quote }}
  labels:
    {{- include "gini-operator.labels" $root | nindent 4 }}
rules:
{{- toYaml (index . 2) | nindent 0 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ index . 1 | quote }}
  labels:
    {{- include "gini-operator.labels" $root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ index . 1 | quote }}
{{ include "gini-operator.subjects" $root }}
{{- end }}

{{/* (list . folder): the policy in a folder of config/, for this release's ServiceAccount, and its binding. */}}
{{- define "gini-operator.admissionPolicy" -}}
{{- $root := index . 0 }}
{{- $name := include "gini-operator.global" . }}
{{- $policy := $root.Files.Get (printf "files/%s/admission_policy.yaml" (index . 1)) | fromYaml }}
{{- $account := list $root.Release.Namespace (include "gini-operator.serviceAccountName" $root) }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ $name | quote }}
  labels:
    {{- include "gini-operator.labels" $root | nindent 4 }}
spec:
  matchConditions:
  - name: by-the-operator
    expression: request.userInfo.username == 'system:serviceaccount:{{ index $account 0 }}:{{ index $account 1 }}'
  {{- omit $policy.spec "matchConditions" | toYaml | nindent 2 }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ $name | quote }}
  labels:
    {{- include "gini-operator.labels" $root | nindent 4 }}
spec:
  policyName: {{ $name | quote }}
  validationActions:
  - Deny
{{- end }}
