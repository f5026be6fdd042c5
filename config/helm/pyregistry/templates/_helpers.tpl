{{- define "pyregistry.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* RELEASE-pyregistry, or RELEASE where that has the name in it. */ -}}
{{- define "pyregistry.fullname" -}}
{{- $name := include "pyregistry.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "pyregistry.selector" -}}
app.kubernetes.io/name: {{ include "pyregistry.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "pyregistry.labels" -}}
{{ include "pyregistry.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "pyregistry.image" -}}
{{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end -}}

{{- /* The Secret with the users; empty without users. */ -}}
{{- define "pyregistry.auth" -}}
{{- if .Values.existingHtpasswdSecret -}}
{{- .Values.existingHtpasswdSecret -}}
{{- else if .Values.htpasswd -}}
{{- printf "%s-auth" (include "pyregistry.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "pyregistry.claim" -}}
{{- default (include "pyregistry.fullname" .) .Values.persistence.existingClaim -}}
{{- end -}}

{{- /* config.yml: what follows from the values, and `config` laid over it. */ -}}
{{- define "pyregistry.config" -}}
{{- $http := dict "addr" ":5000" -}}
{{- if .Values.host -}}
{{- $_ := set $http "host" (printf "https://%s" .Values.host) -}}
{{- end -}}
{{- if .Values.tlsSecret -}}
{{- $_ := set $http "tls" (dict "certificate" "/tls/tls.crt" "key" "/tls/tls.key") -}}
{{- end -}}
{{- if .Values.metrics -}}
{{- $_ := set $http "debug" (dict "addr" ":5001" "prometheus" (dict "enabled" true)) -}}
{{- end -}}
{{- $storage := dict "filesystem" (dict "rootdirectory" "/var/lib/registry") "delete" (dict "enabled" true) -}}
{{- $health := dict "storagedriver" (dict "enabled" true) -}}
{{- $own := dict "gc" (dict "interval" .Values.gcInterval) -}}
{{- $made := dict "version" 0.1 "storage" $storage "http" $http "health" $health "pyregistry" $own -}}
{{- if include "pyregistry.auth" . -}}
{{- $_ := set $made "auth" (dict "htpasswd" (dict "realm" "Registry Realm" "path" "/auth/htpasswd")) -}}
{{- end -}}
{{- $config := mergeOverwrite $made (deepCopy .Values.config) -}}
{{- if and .Values.host (not $config.auth) (not (dig "http" "tls" "clientcas" list $config)) -}}
{{- fail (printf "host has the value %s, and there are no users: set htpasswd (with a line for each) or existingHtpasswdSecret, or `--set-json 'config.auth={\"none\": {}}'` if every client may push and delete" .Values.host) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- /* What the pod of the server and that of the check have in common. */ -}}
{{- define "pyregistry.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .Values.user }}
  runAsGroup: {{ .Values.user }}
  fsGroup: {{ .Values.user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: data
    persistentVolumeClaim: {claimName: {{ include "pyregistry.claim" . }}}
  - name: config
    configMap: {name: {{ include "pyregistry.fullname" . }}}
  {{- with include "pyregistry.auth" . }}
  - name: auth
    secret: {secretName: {{ . }}, defaultMode: 0440}
  {{- end }}
  {{- with .Values.tlsSecret }}
  - name: tls
    secret: {secretName: {{ . }}, defaultMode: 0440}
  {{- end }}
  - name: tmp
    emptyDir: {medium: Memory, sizeLimit: 64Mi}
{{- end -}}

{{- define "pyregistry.container" -}}
image: {{ include "pyregistry.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: data, mountPath: /var/lib/registry}
  - {name: config, mountPath: /etc/docker/registry, readOnly: true}
  {{- if include "pyregistry.auth" . }}
  - {name: auth, mountPath: /auth, readOnly: true}
  {{- end }}
  {{- if .Values.tlsSecret }}
  - {name: tls, mountPath: /tls, readOnly: true}
  {{- end }}
  - {name: tmp, mountPath: /tmp}
{{- end -}}
