#!/usr/bin/env bash
# Prints the Secrets that the base refers to, for a developer's cluster: an authority that lives for one run of this script, a
# certificate per service, credentials and NATS' password. In production they come from your certificate manager and secret store;
# the names, keys and the SPIFFE id are the contract (deploy/README.md).
set -euo pipefail
umask 077
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

quiet() { "$@" 2>"$scratch/said" || { cat "$scratch/said" >&2; exit 1; }; }
encoded() { base64 -w0 < "$1"; }
token() { openssl rand -hex 26; }

quiet openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 \
  -subj "/CN=lethe development authority" -keyout ca.key -out ca.crt

# certificate NAME ROLE TENANT DNS…
certificate() {
  local name=$1 role=$2 tenant=$3 names
  shift 3
  names="URI:spiffe://lethe/tenants/$tenant/roles/$role/$name"
  for dns in "$@"; do names="$names,DNS:$dns"; done
  quiet openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" \
    -keyout "$name.key" -out "$name.csr"
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$names" > "$name.ext"
  quiet openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 90 \
    -extfile "$name.ext" -out "$name.crt"
  printf -- '---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: %s-tls\n  namespace: lethe\ntype: kubernetes.io/tls\ndata:\n' "$name"
  printf '  tls.crt: %s\n  tls.key: %s\n  ca.crt: %s\n' "$(encoded "$name.crt")" "$(encoded "$name.key")" "$(encoded ca.crt)"
}

for service in vault hashing learning federation audit erasure; do
  # localhost: a developer reaches it through a port-forward.
  certificate "$service" platform '*' "$service" "$service.lethe" "$service.lethe.svc" localhost
done
certificate nats platform '*' nats nats.lethe nats.lethe.svc localhost
# Not for a pod: what a developer's own client shows through a port-forward.
certificate developer client default developer

{
  printf '['
  separator=''
  for role in platform client party auditor; do
    tenant=default
    [ "$role" = platform ] && tenant='*'
    printf '%s{"id":"%s-dev","role":"%s","tenants":["%s"],"token":"%s"}' "$separator" "$role" "$role" "$tenant" "$(token)"
    separator=','
  done
  printf ']\n'
} > credentials.json
printf -- '---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: lethe-credentials\n  namespace: lethe\ndata:\n  credentials.json: %s\n' "$(encoded credentials.json)"

password=$(token)
printf -- '---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: lethe-nats\n  namespace: lethe\nstringData:\n'
printf '  password: %s\n  url: nats://lethe:%s@nats.lethe.svc:4222\n' "$password" "$password"
