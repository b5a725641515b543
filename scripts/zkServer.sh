#!/usr/bin/env bash
# Starts, stops and asks a server, with the commands, output lines, pid file and exit codes of
# ZooKeeper's zkServer.sh.
#
#   zkServer.sh [--config <conf-dir>] <command> [<file>]
#
# <file> is a name in the configuration directory, or a path.

ZOOBINDIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for common in "$ZOOBINDIR"/{../libexec/,}zkEnv.sh; do [ -e "$common" ] && break; done
. "$common"

if [ -n "$JMXPORT" ]; then
  echo "JMXPORT is ignored: there is no JVM. Metrics: mntr, the AdminServer, or" \
    "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider" >&2
fi

# A plain name is in the configuration directory; anything with a directory is used as it is.
if [ -n "$2" ]; then
  case "$2" in
    */*) ZOOCFG="$2" ;;
    *) ZOOCFG="$ZOOCFGDIR/$2" ;;
  esac
fi

usage() {
  echo "Usage: $0 [--config <conf-dir>]" \
    "{start|start-foreground|stop|version|restart|status|print-cmd}" >&2
}

if [ "$1" != version ]; then
  echo "Using config: $ZOOCFG" >&2
fi

ZOO_DATADIR="$(config_value dataDir "$ZOOCFG")"
ZOO_DATALOGDIR="$(config_value dataLogDir "$ZOOCFG")"

# A directory that a mount or zkServer-initialize.sh should have provided.
need_directory() {
  if [ ! -d "$2/version-2" ]; then
    echo "ZooKeeper $1 directory is missing at $2 fix the path or run initialize"
    exit 1
  fi
}

if [ -n "$ZOO_DATADIR_AUTOCREATE_DISABLE" ]; then
  need_directory data "$ZOO_DATADIR"
  [ -z "$ZOO_DATALOGDIR" ] || need_directory txnlog "$ZOO_DATALOGDIR"
  server_flag "-Dzookeeper.datadir.autocreate=false"
fi

HOST_NAME="${HOSTNAME:-$(uname -n)}"
ZOO_LOG_FILE="${ZOO_LOG_FILE:-zookeeper-$USER-server-$HOST_NAME.log}"
_ZOO_DAEMON_OUT="$ZOO_LOG_DIR/zookeeper-$USER-server-$HOST_NAME.out"
server_flag "-Dzookeeper.log.file=${ZOO_LOG_FILE}"
server_flag "-Dzookeeper.log.dir=${ZOO_LOG_DIR}"

# Only commands that write need the directories of pid file and log.
prepare_directories() {
  mkdir -p "$(dirname "$ZOOPIDFILE")"
  [ -w "$ZOO_LOG_DIR" ] || mkdir -p "$ZOO_LOG_DIR"
}

ZOOPIDFILE="${ZOOPIDFILE:-$ZOO_DATADIR/zookeeper_server.pid}"

# Waits until a process has ended, half a minute at most.
await_end() {
  local tenths=0
  while kill -0 "$1" 2> /dev/null; do
    if [ $tenths -ge 300 ]; then
      echo -n "(still running after 30 s) "
      return
    fi
    sleep 0.1
    tenths=$((tenths + 1))
  done
}

start() {
  echo -n "Starting zookeeper ... "
  if [ -f "$ZOOPIDFILE" ]; then
    local running
    running="$(cat "$ZOOPIDFILE")"
    if [ -n "$running" ] && kill -0 "$running" > /dev/null 2>&1; then
      echo "already running as process $running."
      exit 1
    fi
  fi
  find_rookeeper
  prepare_directories
  nohup "$ROOKEEPER" server "$ZOOCFG" > "$_ZOO_DAEMON_OUT" 2>&1 < /dev/null &
  local pid=$!
  if ! echo -n "$pid" > "$ZOOPIDFILE"; then
    echo FAILED TO WRITE PID
    exit 1
  fi
  sleep 1
  if kill -0 "$pid" 2> /dev/null; then
    echo STARTED
  else
    echo FAILED TO START
    echo "See $_ZOO_DAEMON_OUT" >&2
    exit 1
  fi
}

stop() {
  echo -n "Stopping zookeeper ... "
  if [ ! -f "$ZOOPIDFILE" ]; then
    echo "no zookeeper to stop (could not find file $ZOOPIDFILE)"
    return
  fi
  local pid
  pid="$(cat "$ZOOPIDFILE")"
  kill "$pid"
  rm "$ZOOPIDFILE"
  await_end "$pid"
  echo STOPPED
}

# Sets clientPort, clientPortAddress and isSSL from wherever the configuration has them.
find_client_port() {
  isSSL=false
  clientPortAddress="$(config_value clientPortAddress "$ZOOCFG")"
  clientPortAddress="${clientPortAddress:-localhost}"
  clientPort="$(config_value clientPort "$ZOOCFG")"
  [[ "$clientPort" =~ ^[0-9]+$ ]] && return
  clientPort=""
  local myid member=""
  myid="$(head -n 1 "$ZOO_DATADIR/myid" 2> /dev/null)"
  if ! [[ "$myid" =~ ^[0-9]+$ ]]; then
    echo "myid could not be determined, will not able to locate clientPort in the server configs."
  else
    member="$(config_value "server\.$myid" "$ZOOCFG" | grep ';' | sed -e 's/.*;//')"
    if [ -z "$member" ]; then
      echo "Client port not found in static config file. Looking in dynamic config file."
      member="$(config_value "server\.$myid" "$(config_value dynamicConfigFile "$ZOOCFG")" \
        | grep ';' | sed -e 's/.*;//')"
    fi
    if [ -z "$member" ]; then
      echo "Client port not found in the server configs"
    else
      clientPort="${member##*:}"
      if [ "$clientPort" != "$member" ]; then
        clientPortAddress="${member%:*}"
        clientPortAddress="${clientPortAddress#[}"
        clientPortAddress="${clientPortAddress%]}"
      fi
      return
    fi
  fi
  echo "Client port not found. Looking for secureClientPort in the static config."
  clientPort="$(config_value secureClientPort "$ZOOCFG")"
  if [ -z "$clientPort" ]; then
    echo "Unable to find either secure or unsecure client port in any configs. Terminating."
    exit 1
  fi
  isSSL=true
  clientPortAddress="$(config_value secureClientPortAddress "$ZOOCFG")"
  clientPortAddress="${clientPortAddress:-localhost}"
}

status() {
  find_client_port
  echo "Client port found: $clientPort. Client address: $clientPortAddress. Client SSL: $isSSL."
  find_rookeeper
  local mode
  mode="$("$ROOKEEPER" word "$clientPortAddress" "$clientPort" srvr "$isSSL" 2> /dev/null \
    | grep Mode)"
  if [ -n "$mode" ]; then
    echo "$mode"
    exit 0
  fi
  if [ "$isSSL" = true ]; then
    echo " "
    echo "Note: the secureClientPort ($clientPort) was tried, and that failed. A status over TLS"
    echo "  needs the settings of a TLS client in the environment variable CLIENT_JVMFLAGS:"
    echo "  -Dzookeeper.client.secure=true -Dzookeeper.ssl.trustStore.location=..., and a key store"
    echo "  if the server wants a certificate."
    echo " "
  fi
  echo "Error contacting service. It is probably not running."
  exit 1
}

case "$1" in
  start)
    start
    ;;
  start-foreground)
    find_rookeeper
    prepare_directories
    if [ -n "$ZOO_NOEXEC" ]; then
      "$ROOKEEPER" server "$ZOOCFG"
    else
      exec "$ROOKEEPER" server "$ZOOCFG"
    fi
    ;;
  print-cmd)
    find_rookeeper
    printf 'SERVER_JVMFLAGS=%q JVMFLAGS=%q "%s" server "%s" > "%s" 2>&1 < /dev/null\n' \
      "$SERVER_JVMFLAGS" "$JVMFLAGS" "$ROOKEEPER" "$ZOOCFG" "$_ZOO_DAEMON_OUT"
    ;;
  stop)
    stop
    exit 0
    ;;
  version)
    find_rookeeper
    "$ROOKEEPER" version 2> /dev/null
    ;;
  restart)
    shift
    "$0" --config "$ZOOCFGDIR" stop "$@"
    "$0" --config "$ZOOCFGDIR" start "$@"
    ;;
  status)
    status
    ;;
  *)
    usage
    ;;
esac
