#!/bin/sh
# The official image's rules for arguments, and a service that does not run as root.
set -eu

case "${1:-}" in
    *.yml | *.yaml) set -- registry serve "$@" ;;
    serve | garbage-collect | help | -*) set -- registry "$@" ;;
    htpasswd) set -- pyregistry "$@" ;;
esac

say() {
    echo "entrypoint: $*" >&2
}

# A fresh volume is root's, and so is one of the CNCF image, which runs as root and can go on there afterwards. Nothing
# but the registry's own is touched: the config may name a directory that holds other things as well.
give_to_service() {
    if [ "$(stat -c %u "$1")" = 0 ]; then
        for path in "$1/docker" "$1/.pyregistry"; do
            [ ! -e "$path" ] || chown -R registry:registry "$path" 2>/dev/null || say "cannot give away all of $path"
        done
        chown registry:registry "$1" 2>/dev/null || say "cannot give $1 to the user registry"
    else
        # What that image, or somebody's shell, wrote there since; beside the server, since it may take a while.
        owner="$(stat -c %u:%g "$1")"
        find "$1/docker" "$1/.pyregistry" -uid 0 -exec chown -h "$owner" {} + 2>/dev/null &
    fi
}

# The server alone drops its rights; what somebody runs by hand keeps the rights of whoever runs it.
if [ "$(id -u)" = 0 ] && [ "${1:-}" = registry ] && [ "${2:-}" = serve ]; then
    # Nothing for a config that is refused: the server says why.
    files="$(pyregistry files ${3:+-- "$3"} 2>/dev/null || true)"
    data="$(echo "$files" | head -n 1)"
    if [ -n "$data" ]; then
        mkdir -p "$data" 2>/dev/null || true
    else
        data=/var/lib/registry
    fi
    if [ -d "$data" ]; then
        give_to_service "$data"
        # Whoever owns the volume serves it.
        user="$(stat -c %u "$data")" group="$(stat -c %g "$data")"
        become="setpriv --reuid $user --regid $group --clear-groups"
        # With the right to listen below 1024, which port 443 needs with --network host.
        drop="$become --inh-caps +net_bind_service --ambient-caps +net_bind_service --"
        $drop true 2>/dev/null || drop="$become --"
        if ! $drop true 2>/dev/null; then
            say "cannot become user $user; the server keeps the rights it has"
            drop=""
        fi
        while read -r file; do
            if [ -n "$drop" ] && [ -e "$file" ] && ! $drop test -r "$file"; then
                say "user $user cannot read $file; the server runs as root"
                drop=""
            fi
        done <<END
$(echo "$files" | tail -n +2)
END
        exec $drop "$@"
    fi
fi
exec "$@"
