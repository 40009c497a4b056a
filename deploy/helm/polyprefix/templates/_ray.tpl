{{/* Ray Serve: its configuration, and the pods of its cluster. */}}

{{- define "polyprefix.rayScales" -}}
{{ gt (int .Values.ray.engines.max) (int .Values.ray.engines.min) | ternary "yes" "" }}
{{- end }}

{{/* Number of engines of the further backbones, each on a worker of its own. */}}
{{- define "polyprefix.rayFurtherEngines" -}}
{{- $sum := 0 -}}
{{- range .Values.ray.backbones -}}
{{- $sum = add $sum .engines -}}
{{- end -}}
{{ $sum }}
{{- end }}

{{/* One engine for each worker: it reserves all CPUs of the pod. */}}
{{- define "polyprefix.raySettings" -}}
POLYPREFIX_RAY_ENGINE_REPLICAS: {{ .Values.ray.engines.min | quote }}
{{- if include "polyprefix.rayScales" . }}
POLYPREFIX_RAY_MAX_ENGINE_REPLICAS: {{ .Values.ray.engines.max | quote }}
{{- end }}
{{- if .Values.ray.backbones }}
{{- $listed := list }}
{{- range .Values.ray.backbones }}
{{- $listed = append $listed (printf "%s=%d" .source (int .engines)) }}
{{- end }}
POLYPREFIX_RAY_BACKBONES: {{ join "," $listed | quote }}
{{- end }}
POLYPREFIX_RAY_ENGINE_CPUS: {{ .Values.resources.limits.cpu | quote }}
POLYPREFIX_RAY_ENGINE_GPUS: {{ .Values.gpu.enabled | ternary .Values.gpu.count 0 | quote }}
POLYPREFIX_TRAINING_THREADS: {{ .Values.resources.limits.cpu | quote }}
{{- end }}

{{/* The settings come from the environment of the pods. A deployment of the application builds it on
the head, and sends the settings to the replicas. */}}
{{- define "polyprefix.serveConfig" -}}
proxy_location: EveryNode
http_options:
  host: 0.0.0.0
  port: {{ include "polyprefix.port" . }}
applications:
  - name: polyprefix
    import_path: server.hosting.ray.application:application
    route_prefix: /
{{- end }}

{{- define "polyprefix.rayPod" -}}
{{- $root := .root -}}
{{- $isHead := eq .node "head" -}}
metadata:
  labels:
    {{- include "polyprefix.labels" $root | nindent 4 }}
    app.kubernetes.io/part-of: ray-{{ .node }}
    {{- with $root.Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- include "polyprefix.checksums" $root | nindent 4 }}
    {{- with $root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ $isHead | ternary (printf "%s-head" (include "polyprefix.fullname" $root)) (include "polyprefix.serviceAccountName" $root) }}
  automountServiceAccountToken: {{ and $isHead (include "polyprefix.rayScales" $root | empty | not) }} # the autoscaler changes the cluster
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "polyprefix.graceSeconds" $root }}
  securityContext:
    {{- include "polyprefix.podSecurity" $root | nindent 4 }}
  {{- include "polyprefix.placement" $root | nindent 2 }}
  containers:
    - name: ray-{{ .node }}
      image: {{ include "polyprefix.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      {{- include "polyprefix.environment" $root | nindent 6 }}
        - {name: HOME, value: /tmp} # Ray keeps files there
        - {name: RAY_USAGE_STATS_ENABLED, value: "0"}
        - {name: RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH, value: "server.hosting.ray.proxy_middleware:middleware"}
      ports:
        {{- if $isHead }}
        - {name: gcs-server, containerPort: 6379}
        - {name: dashboard, containerPort: 8265}
        - {name: client, containerPort: 10001}
        {{- end }}
        - {name: serve, containerPort: {{ include "polyprefix.port" $root }}}
      # KubeRay's own probes run wget, which the image does not have.
      livenessProbe:
        httpGet: {path: {{ $isHead | ternary "/api/gcs_healthz" "/api/local_raylet_healthz" }}, port: {{ $isHead | ternary 8265 52365 }}}
        initialDelaySeconds: 30
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 24
      readinessProbe:
        httpGet: {path: {{ $isHead | ternary "/api/gcs_healthz" "/-/healthz" }}, port: {{ $isHead | ternary "dashboard" "serve" }}}
        initialDelaySeconds: 10
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      resources:
        {{- $isHead | ternary (toYaml $root.Values.ray.headResources) (include "polyprefix.resources" $root) | nindent 8 }}
      securityContext:
        {{- include "polyprefix.containerSecurity" $root | nindent 8 }}
      volumeMounts:
        {{- include "polyprefix.mounts" $root | nindent 8 }}
  volumes:
    {{- include "polyprefix.volumes" $root | trim | nindent 4 }}
{{- end }}
