#!/usr/bin/env bash
# Compares two snapshots: -l <left> -r <right> -b <bytes> -n <nodes> [-d] [-i]

ZOOBINDIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for common in "$ZOOBINDIR"/{../libexec/,}zkEnv.sh; do [ -e "$common" ] && break; done
. "$common"

find_rookeeper
exec "$ROOKEEPER" compare "$@"
