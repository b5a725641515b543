#!/usr/bin/env bash
# Compares two snapshots: -l <left> -r <right> -b <bytes> -n <nodes> [-d] [-i]

ZOOBIN="${BASH_SOURCE-$0}"
ZOOBIN="$(dirname "${ZOOBIN}")"
ZOOBINDIR="$(cd "${ZOOBIN}" && pwd)"

if [ -e "$ZOOBIN/../libexec/zkEnv.sh" ]; then
  . "$ZOOBINDIR"/../libexec/zkEnv.sh
else
  . "$ZOOBINDIR"/zkEnv.sh
fi

find_rookeeper
exec "$ROOKEEPER" compare "$@"
