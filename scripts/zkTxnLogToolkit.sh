#!/usr/bin/env bash
# Dumps, recovers or chops a transaction log: [-dhrvcy] <log> (-z <zxid>)

ZOOBIN="${BASH_SOURCE-$0}"
ZOOBIN="$(dirname "${ZOOBIN}")"
ZOOBINDIR="$(cd "${ZOOBIN}" && pwd)"

if [ -e "$ZOOBIN/../libexec/zkEnv.sh" ]; then
  . "$ZOOBINDIR"/../libexec/zkEnv.sh
else
  . "$ZOOBINDIR"/zkEnv.sh
fi

find_rookeeper
exec "$ROOKEEPER" txnlog "$@"
