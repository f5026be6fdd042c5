#!/bin/sh
# The official image's rules for arguments, and a service that does not run as root.
set -eu

case "${1:-}" in
    *.yml | *.yaml) set -- registry serve "$@" ;;
    serve | garbage-collect | htpasswd | help | -*) set -- registry "$@" ;;
esac

# The server alone drops its rights; what somebody runs by hand keeps the rights of whoever runs it.
if [ "$(id -u)" = 0 ] && [ "${1:-}" = registry ] && [ "${2:-}" = serve ]; then
    data="${REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY:-/var/lib/registry}"
    if [ -d "$data" ]; then
        if [ "$(stat -c %u "$data")" = 0 ]; then
            # A fresh volume, or one that the CNCF image wrote, which runs as root and can go on there afterwards.
            chown -R registry:registry "$data"
        else
            # What the CNCF image, or somebody's shell, wrote there since; beside the server, since it may take a while.
            owner="$(stat -c %u:%g "$data")"
            find "$data" -uid 0 -exec chown -h "$owner" {} + &
        fi
        # Whoever owns the volume serves it.
        exec setpriv --reuid "$(stat -c %u "$data")" --regid "$(stat -c %g "$data")" --clear-groups -- "$@"
    fi
fi
exec "$@"
