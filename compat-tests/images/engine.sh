#!/bin/bash
# Makes a Docker Engine answer: does nothing if one does, else installs Debian's docker.io and
# starts dockerd. Exit code 0: `docker info` works. Anything else: it cannot run here, the reason is
# on stderr, and the harness uses plain processes instead.
#
# dockerd gets no bridge and no packet filter rules: the tests use the host's loopback only, and
# small machines often allow neither.
set -uo pipefail
log=${1:-/var/log/rookeeper-dockerd.log}
docker info >/dev/null 2>&1 && exit 0
if ! command -v dockerd >/dev/null; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker.io >"$log.apt" 2>&1 ||
        { echo "engine.sh: cannot install docker.io, see $log.apt" >&2; exit 1; }
    docker info >/dev/null 2>&1 && exit 0
fi
start() { # storage driver
    # --pidfile in a place of our own: a stale one of a machine snapshot must not stop us.
    setsid nohup dockerd --iptables=false --ip6tables=false --bridge=none --storage-driver="$1" \
        --pidfile="$log.pid" </dev/null >"$log" 2>&1 &
    local pid=$!
    for _ in $(seq 300); do
        docker info >/dev/null 2>&1 && return 0
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.1
    done
    kill "$pid"
    return 1
}
rm -f "$log.pid"
for driver in overlay2 vfs; do
    start "$driver" && { echo "Docker Engine started with storage driver $driver, log in $log"; exit 0; }
    cp "$log" "$log.$driver"
done
echo "engine.sh: dockerd does not start here, last lines of $log:" >&2
tail -3 "$log" >&2
exit 1
