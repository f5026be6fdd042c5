#!/bin/sh
# Hands a certificate of certbot's to a registry with TLS of its own, after each renewal. On the registry's machine:
#
#   install -D -m 0755 config/certbot/deploy-hook.sh /etc/letsencrypt/renewal-hooks/deploy/pyregistry
#   certbot certonly --standalone -d registry.example.org
#
# certbot keeps keys for root alone; the copy is for the service's group. The registry sees new files within seconds, and
# keeps the old pair for the moment in which only one of the two is new.
set -eu
target=${PYREGISTRY_TLS_DIRECTORY:-/etc/pyregistry}
group=${PYREGISTRY_GROUP:-pyregistry}

install -m 0640 -g "$group" "$RENEWED_LINEAGE/privkey.pem" "$target/registry.key.new"
install -m 0644 "$RENEWED_LINEAGE/fullchain.pem" "$target/registry.pem.new"
mv "$target/registry.key.new" "$target/registry.key"
mv "$target/registry.pem.new" "$target/registry.pem"
