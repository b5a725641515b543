#!/usr/bin/env bash
# Builds rookeeper-<version>-bin.tar.gz: scripts/package/tarball.sh [--output <directory>]
#
# It has the layout of ZooKeeper's own: bin/, conf/, lib/, docs/. ROOKEEPER_BIN names a binary that is
# built already.
set -euo pipefail
. "$(dirname "$0")/common.sh"

output="$PWD"
while [ $# -gt 0 ]; do
  case "$1" in
    --output) output="$2"; shift 2 ;;
    *) die "unknown argument $1; see the head of the script" ;;
  esac
done
find_binary
mkdir -p "$output"
output="$(cd "$output" && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

name="rookeeper-$(package_version)-bin"
home="$work/$name"
install_binary "$home/lib/rookeeper/rookeeper"
install_scripts "$home/bin" "$home/bin"
ln -s ../lib/rookeeper/rookeeper "$home/bin/rookeeper"
mkdir -p "$home/conf" "$home/docs"
install -m 644 "$repository/conf/zoo_sample.cfg" "$home/conf/"
cp -r "$repository"/conf/{kubernetes,prometheus,systemd} "$home/conf/"
install -m 644 "$repository"/docs/*.md "$home/docs/"
install -m 644 "$repository"/{README.md,LICENSE,NOTICE} "$home/"
install_generated "$home/share"
tar -C "$work" --owner=0 --group=0 --sort=name -czf "$output/$name.tar.gz" "$name"
echo "$output/$name.tar.gz"
