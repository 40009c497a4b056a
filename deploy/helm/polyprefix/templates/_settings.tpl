{{/* Settings and secrets as environment variables. */}}

{{/* The text of a setting. Large numbers of values would be printed as 1e+06. */}}
{{- define "polyprefix.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}
{{ printf "%.0f" . }}
{{- else -}}
{{ toString . }}
{{- end -}}
{{- end }}

{{/* A setting of the values, or the server's default: list of the root, the variable and the default. */}}
{{- define "polyprefix.setting" -}}
{{- $value := get (index . 0).Values.settings (index . 1) -}}
{{- if or (kindIs "invalid" $value) (eq (toString $value) "") -}}
{{ index . 2 }}
{{- else -}}
{{ include "polyprefix.text" $value }}
{{- end -}}
{{- end }}

{{- define "polyprefix.port" -}}
{{ include "polyprefix.setting" (list . "POLYPREFIX_PORT" 8000) }}
{{- end }}

{{- define "polyprefix.scheme" -}}
{{ empty .Values.tls.secretName | ternary "HTTP" "HTTPS" }}
{{- end }}

{{/* Settings that the chart derives from other values. */}}
{{- define "polyprefix.derivedSettings" -}}
POLYPREFIX_HOST: 0.0.0.0
POLYPREFIX_PORT: {{ include "polyprefix.port" . | quote }}
POLYPREFIX_STORE_FOLDER: /var/lib/polyprefix
POLYPREFIX_DEVICE: {{ .Values.gpu.enabled | ternary "cuda" "cpu" }}
{{- if eq .Values.mode "ray" }}
{{ include "polyprefix.raySettings" . }}
{{- end }}
{{- if .Values.tls.secretName }}
POLYPREFIX_TLS_CERTIFICATE: /etc/polyprefix/tls/tls.crt
POLYPREFIX_TLS_KEY: /etc/polyprefix/tls/tls.key
{{- end }}
{{- end }}

{{- define "polyprefix.settings" -}}
{{- $settings := include "polyprefix.derivedSettings" . | fromYaml -}}
{{- range $name, $value := .Values.settings -}}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) -}}
{{- $_ := set $settings $name (include "polyprefix.text" $value) -}}
{{- end -}}
{{- end -}}
{{ toYaml $settings }}
{{- end }}

{{/* `env` and `envFrom` of a container. The number of threads is the CPU limit. */}}
{{- define "polyprefix.environment" -}}
envFrom:
  - configMapRef:
      name: {{ include "polyprefix.fullname" . }}
  {{- if .Values.secrets.create }}
  - secretRef:
      name: {{ include "polyprefix.fullname" . }}
  {{- end }}
  {{- range .Values.secrets.existing }}
  - secretRef:
      name: {{ . }}
  {{- end }}
env:
  {{- range $name := list "POLYPREFIX_NUM_THREADS" "POLYPREFIX_TRAINING_THREADS" }}
  {{- if not (or (eq $.Values.mode "ray") (include "polyprefix.setting" (list $ $name ""))) }}
  - name: {{ $name }}
    valueFrom:
      resourceFieldRef: {resource: limits.cpu}
  {{- end }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Annotations that restart pods when a setting or a secret of the chart changes. */}}
{{- define "polyprefix.checksums" -}}
checksum/settings: {{ include "polyprefix.settings" . | sha256sum }}
checksum/secrets: {{ toYaml .Values.secrets.create | sha256sum }}
{{- end }}
