#!/usr/bin/env bash
# Dumps, recovers or chops a transaction log: [-dhrvcy] <log> (-z <zxid>)

ZOOBINDIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for common in "$ZOOBINDIR"/{../libexec/,}zkEnv.sh; do [ -e "$common" ] && break; done
. "$common"

find_rookeeper
exec "$ROOKEEPER" txnlog "$@"
