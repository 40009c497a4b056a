{{/* The pod of a server, and the parts of it that every container of the program has. */}}

{{- define "polyprefix.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "polyprefix.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "polyprefix.resources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- if .Values.gpu.enabled -}}
{{- $limits := default dict $resources.limits -}}
{{- $_ := set $limits .Values.gpu.resource .Values.gpu.count -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{ toYaml $resources }}
{{- end }}

{{- define "polyprefix.mounts" -}}
- {name: store, mountPath: /var/lib/polyprefix}
- {name: models, mountPath: /models}
- {name: tmp, mountPath: /tmp}
{{- if .Values.tls.secretName }}
- {name: tls, mountPath: /etc/polyprefix/tls, readOnly: true}
{{- end }}
{{- end }}

{{/* All volumes except the store of `single`, which is a claim of the StatefulSet. */}}
{{- define "polyprefix.volumes" -}}
{{- $persistence := .Values.persistence -}}
{{- if and $persistence.enabled $persistence.existingClaim }}
- name: store
  persistentVolumeClaim:
    claimName: {{ $persistence.existingClaim }}
{{- else if not (and $persistence.enabled (eq .Values.mode "single")) }}
- name: store
  emptyDir:
    sizeLimit: {{ .Values.scratch.store }}
{{- end }}
- name: models
  {{- if .Values.models.existingClaim }}
  persistentVolumeClaim:
    claimName: {{ .Values.models.existingClaim }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ .Values.models.size }}
  {{- end }}
- name: tmp
  emptyDir:
    sizeLimit: {{ eq .Values.mode "ray" | ternary .Values.ray.tmp .Values.scratch.tmp }}
{{- with .Values.tls.secretName }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end }}

{{/* Where pods run. */}}
{{- define "polyprefix.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if and .Values.gpu.enabled .Values.gpu.runtimeClassName }}
runtimeClassName: {{ .Values.gpu.runtimeClassName }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and .Values.topologySpreadConstraints (ne .Values.mode "single") }}
topologySpreadConstraints:
  {{- range .Values.topologySpreadConstraints }}
  {{- $selector := dict "labelSelector" (dict "matchLabels" (include "polyprefix.selectorLabels" $ | fromYaml)) }}
  - {{- toYaml (merge (deepCopy .) $selector) | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "polyprefix.probe" -}}
httpGet:
  path: {{ index . 1 }}
  port: http
  scheme: {{ include "polyprefix.scheme" (index . 0) }}
{{- end }}

{{/* Time for preStop, for the server to drain, and for the 4 seconds after it. */}}
{{- define "polyprefix.graceSeconds" -}}
{{- $drain := include "polyprefix.setting" (list . "POLYPREFIX_DRAIN_SECONDS" 30) | float64 | ceil | int -}}
{{ add .Values.preStopSeconds $drain 10 }}
{{- end }}

{{- define "polyprefix.podTemplate" -}}
metadata:
  labels:
    {{- include "polyprefix.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- include "polyprefix.checksums" . | nindent 4 }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "polyprefix.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false # they would set variables such as POLYPREFIX_PORT
  terminationGracePeriodSeconds: {{ include "polyprefix.graceSeconds" . }}
  securityContext:
    {{- include "polyprefix.podSecurity" . | nindent 4 }}
  {{- include "polyprefix.placement" . | nindent 2 }}
  containers:
    - name: server
      image: {{ include "polyprefix.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve]
      {{- include "polyprefix.environment" . | nindent 6 }}
      ports:
        - name: http
          containerPort: {{ include "polyprefix.port" . }}
      startupProbe: # the port opens when the backbone is loaded
        {{- include "polyprefix.probe" (list . "/livez") | nindent 8 }}
        periodSeconds: 5
        failureThreshold: {{ div (add .Values.probes.startupSeconds 4) 5 }}
      livenessProbe:
        {{- include "polyprefix.probe" (list . "/livez") | nindent 8 }}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        {{- include "polyprefix.probe" (list . "/readyz") | nindent 8 }}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      {{- with .Values.preStopSeconds }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ . }}
      {{- end }}
      resources:
        {{- include "polyprefix.resources" . | nindent 8 }}
      securityContext:
        {{- include "polyprefix.containerSecurity" . | nindent 8 }}
      volumeMounts:
        {{- include "polyprefix.mounts" . | nindent 8 }}
  volumes:
    {{- include "polyprefix.volumes" . | trim | nindent 4 }}
{{- end }}
