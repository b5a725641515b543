#!/usr/bin/env bash
# Creates the data directories of a new server, its myid and the `initialize` mark, with the
# options, output and exit codes of ZooKeeper's script.

ZOOBIN="${BASH_SOURCE-$0}"
ZOOBIN="$(dirname "${ZOOBIN}")"
ZOOBINDIR="$(cd "${ZOOBIN}" && pwd)"

if [ -e "$ZOOBIN/../libexec/zkEnv.sh" ]; then
  . "$ZOOBINDIR"/../libexec/zkEnv.sh
else
  . "$ZOOBINDIR"/zkEnv.sh
fi

usage() {
  printf 'usage: %s <parameters>
  Optional parameters:
     -h                                                    Display this message
     --help                                                Display this message
     --configfile=%-40s ZooKeeper config file
     --myid=#                                              Set the myid to be used, if any (1-255)
     --force                                               Force creation of the data/txnlog dirs
' "$0" "$ZOOCFG"
  exit 1
}

FORCE=""
MYID=""
while [ -n "$1" ]; do
  case "$1" in
    --configfile) ZOOCFG="$2"; shift 2 ;;
    --configfile=?*) ZOOCFG="${1#*=}"; shift ;;
    --myid) MYID="$2"; shift 2 ;;
    --myid=?*) MYID="${1#*=}"; shift ;;
    --force) FORCE=1; shift ;;
    -h | --help) usage ;;
    *) echo "Unknown option: $1"; usage ;;
  esac
done

if [ ! -e "$ZOOCFG" ]; then
  echo "Unable to find config file at $ZOOCFG"
  exit 1
fi

ZOO_DATADIR="$(config_value dataDir "$ZOOCFG")"
ZOO_DATALOGDIR="$(config_value dataLogDir "$ZOOCFG")"

if [ -z "$ZOO_DATADIR" ]; then
  echo "Unable to determine dataDir from $ZOOCFG"
  exit 1
fi

if [ -n "$FORCE" ]; then
  echo "Force enabled, data/txnlog directories will be re-initialized"
else
  if [ -d "$ZOO_DATADIR/version-2" ]; then
    echo "ZooKeeper data directory already exists at $ZOO_DATADIR" \
      "(or use --force to force re-initialization)"
    exit 1
  fi
  if [ -n "$ZOO_DATALOGDIR" ] && [ -d "$ZOO_DATALOGDIR/version-2" ]; then
    echo "ZooKeeper txnlog directory already exists at $ZOO_DATALOGDIR" \
      "(or use --force to force re-initialization)"
    exit 1
  fi
fi

# Only what belongs to a server is removed, so that the parent may be a mount point.
for directory in "$ZOO_DATADIR" "$ZOO_DATALOGDIR"; do
  if [ -n "$directory" ]; then
    rm -rf "${directory:?}/myid" "${directory:?}/version-2" > /dev/null 2>&1
    mkdir -p "$directory/version-2" || exit 1
  fi
done

if [ -n "$MYID" ]; then
  echo "Using myid of $MYID"
  echo "$MYID" > "$ZOO_DATADIR/myid" || exit 1
else
  echo "No myid provided, be sure to specify it in $ZOO_DATADIR/myid if using non-standalone"
fi

touch "$ZOO_DATADIR/initialize"
