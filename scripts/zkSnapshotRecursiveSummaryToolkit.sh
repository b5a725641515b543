#!/usr/bin/env bash
# Prints sizes of subtrees: <snapshot> <start node> <max depth>

ZOOBINDIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for common in "$ZOOBINDIR"/{../libexec/,}zkEnv.sh; do [ -e "$common" ] && break; done
. "$common"

find_rookeeper
exec "$ROOKEEPER" summary "$@"
