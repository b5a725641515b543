#!/bin/bash
# Brings the jars of each Java release in releases.tsv into $1/<release>/, with Maven.
# Does nothing for a release that is there already.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" && out=$(cd "$1" && pwd)
grep -v '^#' "$here/releases.tsv" | while IFS=$'\t' read -r release extras; do
    want=$(printf '%s %s' "$release" "$extras" | sha256sum | cut -c1-16)
    [ "$(cat "$out/$release/.from" 2>/dev/null || true)" = "$want" ] && continue
    command -v mvn >/dev/null || { echo "jars.sh: Maven is missing (apt-get install maven)" >&2; exit 1; }
    echo "jars of ZooKeeper $release"
    pom=$(mktemp -d)
    {
        echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        echo '<groupId>compat</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging><dependencies>'
        for gav in "org.apache.zookeeper:zookeeper:$release" $extras; do
            IFS=: read -r group artifact version <<<"$gav"
            echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
        done
        echo '</dependencies></project>'
    } >"$pom/pom.xml"
    rm -rf "${out:?}/$release"
    mvn -q -B -f "$pom/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$out/$release" </dev/null
    rm -rf "$pom"
    echo "$want" >"$out/$release/.from"
done
