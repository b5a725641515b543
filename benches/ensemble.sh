#!/usr/bin/env bash
# Makes the table of ensembles in docs/benchmarks.md: three servers of ours and three of Java, the
# same work, in one run. Arguments go to `rkload ensembles` (for a first look: --rounds 1
# --seconds 1 --fill 100000). ROOKEEPER_BIN is the binary to measure; without it the release
# binary of this checkout is built.
set -euo pipefail
cd "$(dirname "$0")/.."

[ -n "${ROOKEEPER_BIN:-}" ] || cargo build --release -p rookeeper --bin rookeeper
[ -n "${RKLOAD:-}" ] || cargo build --release -p compat-tests --bin rkload
target=${CARGO_TARGET_DIR:-target}
[[ " $* " == *" --no-java "* ]] || compat-tests/images/jars.sh "${COMPAT_CACHE:-$target/compat}/jars"

table=$(mktemp)
trap 'rm -f "$table"' EXIT
"${RKLOAD:-$target/release/rkload}" ensembles \
    --rookeeper "${ROOKEEPER_BIN:-$target/release/rookeeper}" \
    --json "$target/benchmarks-ensembles.json" "$@" > "$table"

machine="$(nproc) x $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), Linux $(uname -r)"
awk -v table="$table" -v machine="$machine" '
    /^<!-- table of ensembles -->$/ {
        print; print ""
        print "Machine: " machine "."
        print ""
        while ((getline line < table) > 0) print line
        print ""; skip = 1
    }
    /^<!-- end of table of ensembles -->$/ { skip = 0 }
    !skip && !/^<!-- table of ensembles -->$/ { print }
' docs/benchmarks.md > "$table.page"
mv "$table.page" docs/benchmarks.md
cat "$table"
