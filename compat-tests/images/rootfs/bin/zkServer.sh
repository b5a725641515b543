#!/bin/bash
# zkServer.sh start-foreground [zoo.cfg]: the Java server in this process.
set -e
[ "$1" = start-foreground ] || { echo "usage: $0 start-foreground [config]" >&2; exit 1; }
home=$(cd "$(dirname "$0")/.." && pwd)
config=${2:-${ZOO_CONF_DIR:-/conf}/zoo.cfg}
# shellcheck disable=SC2086 # the flags are words
exec "${JAVA:-java}" -Xmx"${ZK_SERVER_HEAP:-1000}"m $JVMFLAGS $SERVER_JVMFLAGS \
    -cp "$home/conf:$home/lib/*" org.apache.zookeeper.server.quorum.QuorumPeerMain "$config"
