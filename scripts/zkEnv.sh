#!/usr/bin/env bash
# Sourced by the other scripts: finds the configuration directory, the environment files, the log
# directory and the rookeeper binary. The variables are those of ZooKeeper's zkEnv.sh.
#
# Read by scripts of users too, so nothing here is exported but the flags.

ZOOBINDIR="${ZOOBINDIR:-/usr/bin}"
ZOOKEEPER_PREFIX="${ZOOBINDIR}/.."

# `--config <dir>` in front of a command names the configuration directory.
if [ $# -gt 1 ] && [ "--config" = "$1" ]; then
  ZOOCFGDIR="$2"
  shift 2
fi

if [ -z "$ZOOCFGDIR" ]; then
  # The first that exists, or the last.
  for ZOOCFGDIR in "$ZOOKEEPER_PREFIX"/{conf,etc/zookeeper} /etc/zookeeper; do
    [ -e "$ZOOCFGDIR" ] && break
  done
fi

# It may say which file is the configuration.
[ ! -f "$ZOOCFGDIR/zookeeper-env.sh" ] || . "$ZOOCFGDIR/zookeeper-env.sh"
ZOOCFG="$ZOOCFGDIR/${ZOOCFG:-zoo.cfg}"
# The usual place for JVMFLAGS and SERVER_JVMFLAGS. Of these, -Dname=value counts.
[ ! -f "$ZOOCFGDIR/java.env" ] || . "$ZOOCFGDIR/java.env"

ZOO_LOG_DIR="${ZOO_LOG_DIR:-${ZOOKEEPER_PREFIX}/logs}"

# Where a source checkout has its sources; empty in an installed layout.
ROOKEEPER_SOURCE=""
if [ -f "$ZOOKEEPER_PREFIX/Cargo.toml" ] && [ -d "${ZOOKEEPER_PREFIX}/server/src" ]; then
  ROOKEEPER_SOURCE="$(cd "${ZOOKEEPER_PREFIX}" && pwd)"
fi

# Sets ROOKEEPER to the binary: as given, next to the scripts, built from the sources, or in PATH.
# In a source checkout the first use builds it, and so does the first use after a change.
find_rookeeper() {
  if [ -n "$ROOKEEPER" ]; then
    if [ ! -x "$ROOKEEPER" ]; then
      echo "Error: ROOKEEPER=$ROOKEEPER is not an executable file." >&2
      exit 1
    fi
    return
  fi
  for candidate in "$ZOOBINDIR/rookeeper" "$ZOOBINDIR/../bin/rookeeper" \
    "$ZOOBINDIR/../libexec/rookeeper" "$ZOOBINDIR/../lib/rookeeper/rookeeper"; do
    if [ -x "$candidate" ] && [ ! -d "$candidate" ]; then
      ROOKEEPER="$candidate"
      return
    fi
  done
  if [ -n "$ROOKEEPER_SOURCE" ]; then
    build_rookeeper
    return
  fi
  if ! ROOKEEPER="$(type -P rookeeper)"; then
    echo "Error: rookeeper is neither next to $ZOOBINDIR nor in PATH; ROOKEEPER can name it." >&2
    exit 1
  fi
}

build_rookeeper() {
  local target="${CARGO_TARGET_DIR:-$ROOKEEPER_SOURCE/target}"
  ROOKEEPER="$target/release/rookeeper"
  local reason=""
  if [ ! -x "$ROOKEEPER" ]; then
    reason="first use"
  elif [ -n "$(find "$ROOKEEPER_SOURCE/server" "$ROOKEEPER_SOURCE/jute" \
    "$ROOKEEPER_SOURCE/Cargo.lock" -newer "$ROOKEEPER" \
    \( -name '*.rs' -o -name 'Cargo.*' \) -print -quit 2> /dev/null)" ]; then
    reason="the sources have changed"
  fi
  if [ -z "$reason" ]; then
    return
  fi
  if ! type -P cargo > /dev/null; then
    if [ -x "$ROOKEEPER" ]; then
      return
    fi
    echo "Error: $ROOKEEPER is not built and cargo is not in PATH (https://rustup.rs)." >&2
    exit 1
  fi
  echo "Building rookeeper ($reason): this may take a few minutes" >&2
  if ! (cd "$ROOKEEPER_SOURCE" && cargo build --release --package rookeeper >&2); then
    echo "Error: the build failed." >&2
    exit 1
  fi
  # An unchanged binary keeps its time; the check above should not find it old again.
  touch "$ROOKEEPER"
}

# The value of a key of the configuration file, blanks trimmed; the last one if there are several.
config_value() {
  sed -n -e "s/^[[:space:]]*$1[[:space:]]*[=:][[:space:]]*//p" "$2" 2> /dev/null \
    | sed -e 's/[[:space:]]*$//' | tail -n 1
}

# Puts one flag in front of those of the server, so that the user's own win.
server_flag() {
  SERVER_JVMFLAGS="\"$1\" $SERVER_JVMFLAGS"
}

export SERVER_JVMFLAGS CLIENT_JVMFLAGS JVMFLAGS
