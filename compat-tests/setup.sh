#!/bin/bash
# Brings everything the compatibility tests need to a Debian 12 machine with a Rust toolchain, as
# root, from package registries only. Does nothing that is done already; safe to run again.
#
#   packages     Java, Maven, Docker Engine, mmdebstrap, Python venv, Go, a C compiler,
#                ZooKeeper's C client, Prometheus, and a static busybox for our image
#   jars         five releases of the Java server
#   images       zookeeper:<release>, built locally
#   clients      the Java, Go and C programs compiled, Curator's jars, kazoo in a venv
#   applications the jars of each folder of applications/, each the very file that jars.sha256 names
#
# Where no Docker Engine can run it says so, and the tests start the same jars as processes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${COMPAT_CACHE:-$(dirname "$here")/target/compat}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
started=$SECONDS
say() { echo "setup: $* ($((SECONDS - started)) s)"; }

# Two runs at once (several checkouts on one machine) would trip over apt and Docker.
exec 9>/var/lock/rookeeper-compat-setup.lock
flock 9

missing=()
need() { # command or file, package
    if [[ $1 == /* ]]; then [ -e "$1" ] || missing+=("$2"); else command -v "$1" >/dev/null || missing+=("$2"); fi
}
need java openjdk-17-jre-headless
need javac openjdk-17-jdk-headless
need mvn maven
need mmdebstrap mmdebstrap
need python3 python3
need go golang-go
need cc gcc
need nc netcat-openbsd
need busybox busybox-static
need promtool prometheus
need /usr/include/zookeeper/zookeeper.h libzookeeper-mt-dev
if [ ${#missing[@]} -gt 0 ]; then
    say "installing ${missing[*]}"
    log=$cache/apt.log
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
        >"$log" 2>&1 || { tail -20 "$log"; echo "setup: apt-get failed, see $log" >&2; exit 1; }
fi

say "jars of the Java releases"
"$here/images/jars.sh" "$cache/jars"

# Without the lock, which the engine would keep as long as it runs.
if "$here/images/engine.sh" "$cache/dockerd.log" 9>&-; then
    say "images"
    "$here/images/build.sh" "$cache/jars"
    # Left behind by a test run that was killed.
    leftover=$(docker ps -aq --filter label=org.testcontainers.managed-by=testcontainers)
    # shellcheck disable=SC2086 # a list of ids
    [ -z "$leftover" ] || docker rm -f $leftover >/dev/null
else
    say "NO DOCKER ENGINE HERE: Java servers will run as plain processes of the same jars"
fi

up_to_date() { # stamp, sources...
    local stamp=$1 source
    shift
    [ -e "$stamp" ] || return 1
    for source in "$@"; do [ "$source" -ot "$stamp" ] || return 1; done
}

java=$cache/clients/java
if ! up_to_date "$java/.built" "$here"/clients/java/*.java; then
    say "Java client"
    rm -rf "$java" && mkdir -p "$java"
    javac -nowarn -cp "$cache/jars/3.9.5/*" -d "$java" "$here"/clients/java/*.java
    touch "$java/.built"
fi

curator=$cache/clients/curator
if ! up_to_date "$curator/.built" "$here"/clients/curator/*; then
    say "Curator"
    rm -rf "$curator" && mkdir -p "$curator"
    mvn -q -B -f "$here/clients/curator/pom.xml" \
        org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$curator/jars" </dev/null
    javac -nowarn -cp "$curator/jars/*:$cache/jars/3.9.5/*" -d "$curator" "$here"/clients/curator/*.java
    touch "$curator/.built"
fi

c=$cache/clients/c
if ! up_to_date "$c/scenario" "$here"/clients/c/scenario.c; then
    say "C client"
    mkdir -p "$c"
    cc -O1 -Wall -DTHREADED -o "$c/scenario" "$here/clients/c/scenario.c" -lzookeeper_mt
fi

golang=$cache/clients/go
if ! up_to_date "$golang/scenario" "$here"/clients/go/*; then
    say "Go client"
    mkdir -p "$golang"
    (cd "$here/clients/go" && go build -o "$golang/scenario" .)
fi

venv=$cache/clients/python
if ! up_to_date "$venv/.built" "$here/clients/python/requirements.txt"; then
    say "kazoo"
    rm -rf "$venv"
    # Debian splits venv off; virtualenv-less machines get it here.
    python3 -m venv "$venv" >/dev/null 2>&1 || {
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv >"$cache/apt.log" 2>&1
        rm -rf "$venv"
        python3 -m venv "$venv"
    }
    "$venv/bin/pip" install -q -r "$here/clients/python/requirements.txt"
    touch "$venv/.built"
fi

for folder in "$here"/applications/*/; do
    name=$(basename "$folder")
    application=$cache/applications/$name
    up_to_date "$application/.built" "$folder"* && continue
    say "$name"
    # Jars that are there and right are kept: what changes is mostly our program.
    if ! (cd "$application/jars" && sha256sum --quiet --check "$folder/jars.sha256") >/dev/null 2>&1; then
        rm -rf "$application"
        mvn -q -B -f "$folder/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
            -DincludeScope=runtime -DoutputDirectory="$application/jars" </dev/null
    fi
    (cd "$application/jars" && sha256sum --quiet --check "$folder/jars.sha256" &&
        diff <(printf '%s\n' * | LC_ALL=C sort) <(awk '{ print $2 }' "$folder/jars.sha256" | LC_ALL=C sort)) >&2 ||
        { echo "setup: $name: the jars are not those of $folder/jars.sha256" >&2; exit 1; }
    rm -f "$application"/*.class
    javac -nowarn -cp "$application/jars/*" -d "$application" "$folder"/*.java
    touch "$application/.built"
done
say "ready"
