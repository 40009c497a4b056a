{{/* Names, labels and the image. */}}

{{- define "polyprefix.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "polyprefix.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "polyprefix.name" .) .Release.Name -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "polyprefix.name" .) | trunc 52 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "polyprefix.releaseLabels" -}}
app.kubernetes.io/name: {{ include "polyprefix.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of the pods that serve. */}}
{{- define "polyprefix.selectorLabels" -}}
{{ include "polyprefix.releaseLabels" . }}
app.kubernetes.io/component: server
{{- end }}

{{- define "polyprefix.testLabels" -}}
{{ include "polyprefix.releaseLabels" . }}
app.kubernetes.io/component: test
{{- end }}

{{- define "polyprefix.labels" -}}
{{ include "polyprefix.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "polyprefix.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "polyprefix.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{/* The Service of the HTTP port, and the name of the port. KubeRay makes those of a RayService. */}}
{{- define "polyprefix.serviceName" -}}
{{- include "polyprefix.fullname" . -}}
{{- if eq .Values.mode "ray" -}}-serve-svc{{- end -}}
{{- end }}

{{- define "polyprefix.servicePort" -}}
{{ eq .Values.mode "ray" | ternary (include "polyprefix.port" .) (toString .Values.service.port) }}
{{- end }}

{{- define "polyprefix.portName" -}}
{{ eq .Values.mode "ray" | ternary "serve" "http" }}
{{- end }}

{{- define "polyprefix.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default .Chart.AppVersion $image.tag }}
{{- end -}}
{{- end }}
