#!/usr/bin/env bash
# Stops the server that zookeeper-server-start.sh started. SIGNAL chooses another signal than TERM.

ZOOBINDIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

set --
. "$ZOOBINDIR"/zkEnv.sh

LOG_DIR="${LOG_DIR:-$ZOO_LOG_DIR}"
PID_FILE="${ZOOPIDFILE:-$LOG_DIR/zookeeper-server.pid}"
PID="$(cat "$PID_FILE" 2> /dev/null)"

if [ -z "$PID" ] || ! kill -0 "$PID" 2> /dev/null; then
  echo "No zookeeper server to stop"
  rm -f "$PID_FILE"
  exit 1
fi
kill -s "${SIGNAL:-TERM}" "$PID" && rm -f "$PID_FILE"
