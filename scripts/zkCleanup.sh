#!/usr/bin/env bash
# Deletes old snapshots and logs of the configured server: zkCleanup.sh -n <count, at least 3>

ZOOBINDIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for common in "$ZOOBINDIR"/{../libexec/,}zkEnv.sh; do [ -e "$common" ] && break; done
. "$common"

find_rookeeper
ZOODATADIR="$(config_value dataDir "$ZOOCFG")"
ZOODATALOGDIR="$(config_value dataLogDir "$ZOOCFG")"

if [ -z "$ZOODATALOGDIR" ]; then
  "$ROOKEEPER" purge "$ZOODATADIR" "$@"
else
  "$ROOKEEPER" purge "$ZOODATALOGDIR" "$ZOODATADIR" "$@"
fi
