#!/usr/bin/env bash
# The shell: zkCli.sh [-server host:port,...] [-timeout ms] [-r] [-waitforconnection] [command...]

ZOOBIN="${BASH_SOURCE-$0}"
ZOOBIN="$(dirname "${ZOOBIN}")"
ZOOBINDIR="$(cd "${ZOOBIN}" && pwd)"

if [ -e "$ZOOBIN/../libexec/zkEnv.sh" ]; then
  . "$ZOOBINDIR"/../libexec/zkEnv.sh
else
  . "$ZOOBINDIR"/zkEnv.sh
fi

find_rookeeper
exec "$ROOKEEPER" cli "$@"
