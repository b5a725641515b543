#!/usr/bin/env bash
# Starts a server the way Kafka's distribution does:
#
#   zookeeper-server-start.sh [-daemon] <zookeeper.properties>
#
# KAFKA_OPTS and KAFKA_HEAP_OPTS are read like JVMFLAGS; LOG_DIR is where -daemon writes its output.

ZOOBINDIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [ $# -lt 1 ]; then
  echo "USAGE: $0 [-daemon] zookeeper.properties"
  exit 1
fi

DAEMON=""
case "$1" in
  -daemon) DAEMON=1; shift ;;
esac
if [ $# -lt 1 ]; then
  echo "USAGE: $0 [-daemon] zookeeper.properties"
  exit 1
fi
CONFIGURATION="$1"

set --
. "$ZOOBINDIR"/zkEnv.sh
find_rookeeper

LOG_DIR="${LOG_DIR:-$ZOO_LOG_DIR}"
PID_FILE="${ZOOPIDFILE:-$LOG_DIR/zookeeper-server.pid}"
mkdir -p "$LOG_DIR" "$(dirname "$PID_FILE")" || exit 1
JVMFLAGS="$JVMFLAGS $KAFKA_HEAP_OPTS $KAFKA_OPTS"

if [ -n "$DAEMON" ]; then
  nohup "$ROOKEEPER" server "$CONFIGURATION" > "$LOG_DIR/zookeeper.out" 2>&1 < /dev/null &
  echo -n "$!" > "$PID_FILE"
else
  echo -n "$$" > "$PID_FILE"
  exec "$ROOKEEPER" server "$CONFIGURATION"
fi
