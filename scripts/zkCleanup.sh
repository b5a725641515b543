#!/usr/bin/env bash
# Deletes old snapshots and logs of the configured server: zkCleanup.sh -n <count, at least 3>

ZOOBIN="${BASH_SOURCE-$0}"
ZOOBIN="$(dirname "${ZOOBIN}")"
ZOOBINDIR="$(cd "${ZOOBIN}" && pwd)"

if [ -e "$ZOOBIN/../libexec/zkEnv.sh" ]; then
  . "$ZOOBINDIR"/../libexec/zkEnv.sh
else
  . "$ZOOBINDIR"/zkEnv.sh
fi

find_rookeeper
ZOODATADIR="$(config_value dataDir "$ZOOCFG")"
ZOODATALOGDIR="$(config_value dataLogDir "$ZOOCFG")"

if [ -z "$ZOODATALOGDIR" ]; then
  "$ROOKEEPER" purge "$ZOODATADIR" "$@"
else
  "$ROOKEEPER" purge "$ZOODATALOGDIR" "$ZOODATADIR" "$@"
fi
