{{/* Checks of values that belong together. Each failure names the values and the cure. */}}

{{/* Variables whose values are secrets. */}}
{{- define "polyprefix.secretVariables" -}}
POLYPREFIX_DATABASE_URL
POLYPREFIX_FEEDBACK_KEYS
POLYPREFIX_METRICS_KEY
POLYPREFIX_OPERATOR_KEY
POLYPREFIX_TLS_KEY_PASSWORD
AWS_SECRET_ACCESS_KEY
AWS_SESSION_TOKEN
HF_TOKEN
{{- end }}

{{/* Whether a variable is among the values: list of the root and the variable. */}}
{{- define "polyprefix.has" -}}
{{- $values := (index . 0).Values -}}
{{- $name := index . 1 -}}
{{- $found := or (get $values.settings $name) (get $values.secrets.create $name) -}}
{{- range $values.extraEnv -}}
{{- $found = or $found (eq .name $name) -}}
{{- end -}}
{{ empty $found | ternary "" "yes" }}
{{- end }}

{{/* The same, or whether it could be in a Secret that the chart cannot read. */}}
{{- define "polyprefix.mayHave" -}}
{{ or (index . 0).Values.secrets.existing (include "polyprefix.has" .) | empty | ternary "" "yes" }}
{{- end }}

{{- define "polyprefix.checks" -}}
{{- $values := .Values -}}
{{- range splitList "\n" (include "polyprefix.secretVariables" .) -}}
{{- if hasKey $values.settings . -}}
{{- fail (printf "settings.%s is a secret, and settings become a ConfigMap. Move it to a Secret in secrets.existing, or to secrets.create." .) -}}
{{- end -}}
{{- end -}}
{{- range $name := keys (include "polyprefix.derivedSettings" . | fromYaml) -}}
{{- if and (hasKey $values.settings $name) (ne $name "POLYPREFIX_PORT") (ne $name "POLYPREFIX_DEVICE") -}}
{{- fail (printf "settings.%s is set by the chart. Remove it from settings." $name) -}}
{{- end -}}
{{- end -}}
{{- if ne .Values.mode "single" -}}
{{- if not (include "polyprefix.mayHave" (list . "POLYPREFIX_DATABASE_URL")) -}}
{{- fail (printf "mode is %s, but no database is shared. Put POLYPREFIX_DATABASE_URL, a URL of PostgreSQL, into a Secret in secrets.existing, or into secrets.create." .Values.mode) -}}
{{- end -}}
{{- if not (or .Values.persistence.existingClaim (include "polyprefix.has" (list . "POLYPREFIX_STORE_URL"))) -}}
{{- fail (printf "mode is %s, but no store is shared. Set settings.POLYPREFIX_STORE_URL to a bucket, or persistence.existingClaim to a claim with ReadWriteMany." .Values.mode) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.autoscaling.kind (ne .Values.mode "replicated") -}}
{{- fail (printf "autoscaling.kind is %s, but mode is %s. Use mode replicated, or leave autoscaling.kind empty." .Values.autoscaling.kind .Values.mode) -}}
{{- end -}}
{{- if and .Values.autoscaling.kind (not .Values.autoscaling.cpuPercent) (not .Values.autoscaling.waitingInputs) -}}
{{- fail "autoscaling has neither cpuPercent nor waitingInputs. Set at least one of them." -}}
{{- end -}}
{{- if eq .Values.mode "ray" -}}
{{- if not (regexMatch "^[0-9]+$" (toString (dig "limits" "cpu" "" .Values.resources))) -}}
{{- fail "resources.limits.cpu is not a whole number. In the mode ray, each engine reserves all CPUs of its pod: use a number such as 4." -}}
{{- end -}}
{{- if lt (int .Values.ray.engines.max) (int .Values.ray.engines.min) -}}
{{- fail (printf "ray.engines.max is %v, but ray.engines.min is %v. Raise the first or lower the second." .Values.ray.engines.max .Values.ray.engines.min) -}}
{{- end -}}
{{- if not (regexMatch "^[0-9]+$" (toString .Values.podDisruptionBudget.maxUnavailable)) -}}
{{- fail (printf "podDisruptionBudget.maxUnavailable is %v. In the mode ray, it must be a number of pods." .Values.podDisruptionBudget.maxUnavailable) -}}
{{- end -}}
{{- if .Values.tls.secretName -}}
{{- fail "tls.secretName has a value, but the proxies of Ray speak plain HTTP. Unset it, and use ingress or gateway." -}}
{{- end -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.enabled is true, but ingress.hosts is empty. List the names of its hosts." -}}
{{- end -}}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) -}}
{{- fail "gateway.enabled is true, but gateway.parentRefs is empty. Name the gateway." -}}
{{- end -}}
{{- end }}
