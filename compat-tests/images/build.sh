#!/bin/bash
# Builds zookeeper:<release> for each Java release in releases.tsv from $1/<release>/*.jar, on one
# shared base of Debian and its OpenJDK 17. Does nothing for an image that is up to date.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
jars=$(cd "$1" && pwd)
label() { docker image inspect -f '{{index .Config.Labels "rookeeper.from"}}' "$1" 2>/dev/null || true; }

base_from=$(printf 'bookworm openjdk-17' | sha256sum | cut -c1-16)
if [ "$(label rookeeper-java-base:1)" != "$base_from" ]; then
    command -v mmdebstrap >/dev/null || { echo "build.sh: mmdebstrap is missing" >&2; exit 1; }
    echo "base image: Debian with OpenJDK 17 (about a minute)"
    mmdebstrap --quiet --variant=essential --include=openjdk-17-jre-headless,procps bookworm - |
        docker import --change "LABEL rookeeper.from=$base_from" - rookeeper-java-base:1 >/dev/null
fi

root_from=$(printf 'bookworm systemd adduser' | sha256sum | cut -c1-16)
if [ "$(label rookeeper-debian-root:1)" != "$root_from" ]; then
    echo "clean Debian root: for the tests of our package"
    mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,adduser bookworm - |
        docker import --change "LABEL rookeeper.from=$root_from" - rookeeper-debian-root:1 >/dev/null
fi

grep -v '^#' "$here/releases.tsv" | while IFS=$'\t' read -r release _; do
    from=$( (cat "$here"/Dockerfile "$here"/rootfs/*/* "$jars/$release/.from"; echo "$base_from") | sha256sum | cut -c1-16)
    [ "$(label "zookeeper:$release")" = "$from" ] && continue
    echo "image zookeeper:$release"
    context=$(mktemp -d)
    cp -r "$here/Dockerfile" "$here/rootfs" "$context/"
    mkdir "$context/lib"
    cp "$jars/$release"/*.jar "$context/lib/"
    DOCKER_BUILDKIT=0 docker build -q --network=none --label "rookeeper.from=$from" -t "zookeeper:$release" "$context" >/dev/null
    rm -rf "$context"
done
