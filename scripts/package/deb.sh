#!/usr/bin/env bash
# Builds the Debian package: scripts/package/deb.sh [--version <version>] [--output <directory>]
#
# Needs dpkg-deb only. ROOKEEPER_BIN names a binary that is built already; it should be built on the
# oldest Debian it is for.
set -euo pipefail
. "$(dirname "$0")/common.sh"

version="$(package_version)-1"
output="$PWD"
while [ $# -gt 0 ]; do
  case "$1" in
    --version) version="$2"; shift 2 ;;
    --output) output="$2"; shift 2 ;;
    *) die "unknown argument $1; see the head of the script" ;;
  esac
done
find_binary
mkdir -p "$output"
output="$(cd "$output" && pwd)"
root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

install_binary "$root/usr/bin/rookeeper"
install_scripts "$root/usr/bin" "$root/usr/libexec"
# Where Debian's own package has its scripts.
mkdir -p "$root/usr/share/zookeeper"
ln -s ../../bin "$root/usr/share/zookeeper/bin"
install_generated "$root/usr/share"
find "$root/usr/share/man" -name '*.1' -exec gzip -9n {} +
documents="$root/usr/share/doc/rookeeper"
mkdir -p "$documents/examples"
install -m 644 "$repository"/README.md "$repository"/docs/*.md "$documents/"
cp -r "$repository/conf/kubernetes" "$repository/conf/prometheus" "$documents/examples/"
cat "$repository/NOTICE" "$repository/LICENSE" > "$documents/copyright"
install -D -m 644 "$repository/conf/systemd/rookeeper.service" \
  "$root/lib/systemd/system/rookeeper.service"
configuration="$root/etc/zookeeper"
mkdir -p "$configuration"
sed -e '/^# \/tmp is fine/d' -e 's|^dataDir=.*|dataDir=/var/lib/zookeeper|' \
  "$repository/conf/zoo_sample.cfg" > "$configuration/zoo.cfg"
install -m 644 "$repository/conf/debian/zookeeper-env.sh" "$configuration/"
mkdir -p "$root/var/lib" "$root/var/log"

# The C library the binary was linked with, or newer.
libc="libc6"
wanted="$(grep -aoE 'GLIBC_2\.[0-9]+' "$binary" | sort -uV | tail -n 1)"
if [ -n "$wanted" ]; then
  libc="libc6 (>= ${wanted#GLIBC_}), libgcc-s1"
fi
control="$root/DEBIAN"
mkdir "$control"
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$(dpkg --print-architecture)/" \
  -e "s/@SIZE@/$(du -sk --exclude=DEBIAN "$root" | cut -f1)/" -e "s/@LIBC@/$libc/" \
  "$repository/conf/debian/control" > "$control/control"
install -m 644 "$repository/conf/debian/conffiles" "$control/"
install -m 755 "$repository"/conf/debian/{postinst,prerm,postrm} "$control/"
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) \
  > "$control/md5sums"
chmod -R g-w "$root"
package="$output/rookeeper_${version}_$(dpkg --print-architecture).deb"
dpkg-deb -Zgzip --root-owner-group --build "$root" "$package" > /dev/null
echo "$package"
