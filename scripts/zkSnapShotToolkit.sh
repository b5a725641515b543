#!/usr/bin/env bash
# Prints a snapshot: [-d|-json] <snapshot>

ZOOBINDIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for common in "$ZOOBINDIR"/{../libexec/,}zkEnv.sh; do [ -e "$common" ] && break; done
. "$common"

find_rookeeper
exec "$ROOKEEPER" snapshot "$@"
