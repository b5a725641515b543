#!/usr/bin/env bash
# Builds the container image from the binary of this checkout:
#
#   scripts/package/image.sh [--tag name:tag]...        default: rookeeper:<version>
#   scripts/package/image.sh --rootfs <directory>       only lays out what the image will hold
#
# The image holds the binary, the scripts, bash, a static busybox for everything a script or a probe
# calls (nc, wget, sed, su ...), the shared libraries that the first two name, and nothing else. All
# of it comes from this machine, so nothing is downloaded; Debian's package busybox-static must be
# installed. ROOKEEPER_BIN names a binary that is built already.
set -euo pipefail
. "$(dirname "$0")/common.sh"

tags=()
rootfs=""
while [ $# -gt 0 ]; do
  case "$1" in
    --tag) tags+=("$2"); shift 2 ;;
    --rootfs) rootfs="$2"; shift 2 ;;
    *) die "unknown argument $1; see the head of the script" ;;
  esac
done
find_binary
[ ${#tags[@]} -gt 0 ] || tags=("rookeeper:$(package_version)")

busybox="${BUSYBOX:-$(command -v busybox)}" || die "busybox is missing: apt-get install busybox-static"
if ldd "$busybox" > /dev/null 2>&1; then
  die "$busybox is not static: apt-get install busybox-static"
fi
bash="$(command -v bash)"

context=""
if [ -z "$rootfs" ]; then
  context="$(mktemp -d)"
  trap 'rm -rf "$context"' EXIT
  rootfs="$context/rootfs"
fi
mkdir -p "$rootfs"
[ -z "$(ls -A "$rootfs")" ] || die "$rootfs is not empty"

home="$rootfs/rookeeper"
install_binary "$home/lib/rookeeper/rookeeper"
install_scripts "$home/bin" "$home/bin"
ln -s ../lib/rookeeper/rookeeper "$home/bin/rookeeper"
# The working directory of ZooKeeper's image, for commands such as `docker exec c bin/zkCli.sh`.
ln -s rookeeper "$rootfs/apache-zookeeper-$("$binary" version | sed 's/.*version \([0-9.]*\).*/\1/')-bin"
install -m 755 "$repository/conf/docker/docker-entrypoint.sh" "$rootfs/docker-entrypoint.sh"
install -m 644 -D "$repository/conf/zoo_sample.cfg" "$rootfs/conf/zoo_sample.cfg"

install -D -m 755 "$bash" "$rootfs/bin/bash"
install -m 755 "$busybox" "$rootfs/bin/busybox"
# Before busybox's own: what probes of other images call.
install -m 755 "$repository/conf/docker/nc" "$repository/conf/docker/socat" "$rootfs/bin/"
# `su` drops the rights of root in the entry point; nothing here is set-uid.
for applet in $("$busybox" --list); do
  [ -e "$rootfs/bin/$applet" ] || ln -s busybox "$rootfs/bin/$applet"
done
mkdir -p "$rootfs/usr"
ln -s ../bin "$rootfs/usr/bin"

# The libraries under the paths the dynamic linker looks for them.
ldd "$home/lib/rookeeper/rookeeper" "$bash" | grep -o '/[^ ]*' | grep -v ':$' | sort -u |
  while read -r library; do
    install -D -m 755 "$(realpath "$library")" "$rootfs$library"
  done

mkdir -p "$rootfs"/{etc,data,datalog,logs,tmp,root,usr/share/doc/rookeeper}
chmod 1777 "$rootfs/tmp"
printf '%s\n' 'root:x:0:0:root:/root:/bin/bash' \
  'zookeeper:x:1000:1000::/logs:/bin/bash' \
  'nobody:x:65534:65534:nobody:/:/bin/false' > "$rootfs/etc/passwd"
printf '%s\n' 'root:x:0:' 'zookeeper:x:1000:' 'nogroup:x:65534:' > "$rootfs/etc/group"
printf '%s\n' 'passwd: files' 'group: files' 'hosts: files dns' > "$rootfs/etc/nsswitch.conf"
install -m 644 "$repository/LICENSE" "$repository/NOTICE" "$rootfs/usr/share/doc/rookeeper/"
for package in bash busybox-static libc6 libtinfo6; do
  notice="/usr/share/doc/$package/copyright"
  if [ -e "$notice" ]; then
    install -D -m 644 "$notice" "$rootfs$notice"
  fi
done

[ -n "$context" ] || exit 0
cp "$repository/conf/docker/Dockerfile" "$context/"
arguments=()
for tag in "${tags[@]}"; do
  arguments+=(--tag "$tag")
done
DOCKER_BUILDKIT="${DOCKER_BUILDKIT:-0}" docker build --quiet --network=none "${arguments[@]}" "$context"
