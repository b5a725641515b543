#!/usr/bin/env bash
# The shell: zkCli.sh [-server host:port,...] [-timeout ms] [-r] [-waitforconnection] [command...]

ZOOBINDIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for common in "$ZOOBINDIR"/{../libexec/,}zkEnv.sh; do [ -e "$common" ] && break; done
. "$common"

find_rookeeper
exec "$ROOKEEPER" cli "$@"
