#!/usr/bin/env bash
# Creates the data directories of a new server, its myid and the `initialize` mark, with the
# options, output and exit codes of ZooKeeper's script.

ZOOBINDIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for common in "$ZOOBINDIR"/{../libexec/,}zkEnv.sh; do [ -e "$common" ] && break; done
. "$common"

fail() {
  echo "$1"
  exit 1
}

usage() {
  local configuration
  printf -v configuration '%-40s' "$ZOOCFG"
  cat <<END
usage: $0 <parameters>
  Optional parameters:
     -h                                                    Display this message
     --help                                                Display this message
     --configfile=$configuration ZooKeeper config file
     --myid=#                                              Set the myid to be used, if any (1-255)
     --force                                               Force creation of the data/txnlog dirs
END
  exit 1
}

# An option's value is behind `=` or is the next argument. An empty argument ends the options.
force=no
myid=""
while [ -n "$1" ]; do
  case "$1" in
    --configfile=?*) ZOOCFG="${1#*=}" ;;
    --myid=?*) myid="${1#*=}" ;;
    --configfile) shift; ZOOCFG="$1" ;;
    --myid) shift; myid="$1" ;;
    --force) force=yes ;;
    -h | --help) usage ;;
    *) echo "Unknown option: $1"; usage ;;
  esac
  [ $# -eq 0 ] || shift
done

[ -e "$ZOOCFG" ] || fail "Unable to find config file at $ZOOCFG"
data="$(config_value dataDir "$ZOOCFG")"
log="$(config_value dataLogDir "$ZOOCFG")"
[ -n "$data" ] || fail "Unable to determine dataDir from $ZOOCFG"

# Nothing of a server that has run is overwritten, unless that is what was asked for.
need_new() {
  [ ! -d "$2/version-2" ] \
    || fail "ZooKeeper $1 directory already exists at $2 (or use --force to force re-initialization)"
}

# Only what belongs to a server is removed: the directory itself may be a mount point.
renew() {
  rm -rf "${1:?}/myid" "${1:?}/version-2" > /dev/null 2>&1
  mkdir -p "$1/version-2" || exit 1
}

if [ $force = yes ]; then
  echo "Force enabled, data/txnlog directories will be re-initialized"
else
  need_new data "$data"
  [ -z "$log" ] || need_new txnlog "$log"
fi
renew "$data"
[ -z "$log" ] || renew "$log"

if [ -n "$myid" ]; then
  echo "Using myid of $myid"
  echo "$myid" > "$data/myid" || exit 1
else
  echo "No myid provided, be sure to specify it in $data/myid if using non-standalone"
fi
touch "$data/initialize"
