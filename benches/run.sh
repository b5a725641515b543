#!/usr/bin/env bash
# Makes the table of docs/benchmarks.md: ours, Java and the floor, the same work, in one run.
# Arguments go to `rkload compare` (for a first look: --rounds 1 --seconds 1 --fill 100000).
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release -p rookeeper --bin rookeeper -p compat-tests --bin rkload
target=${CARGO_TARGET_DIR:-target}
[[ " $* " == *" --no-java "* ]] || compat-tests/images/jars.sh "${COMPAT_CACHE:-$target/compat}/jars"

table=$(mktemp)
trap 'rm -f "$table"' EXIT
"$target/release/rkload" compare --rookeeper "$target/release/rookeeper" \
    --json "$target/benchmarks.json" "$@" > "$table"

machine="$(nproc) x $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), Linux $(uname -r)"
awk -v table="$table" -v machine="$machine" '
    /^<!-- table -->$/ {
        print; print ""
        print "Machine: " machine "."
        print ""
        while ((getline line < table) > 0) print line
        print ""; skip = 1
    }
    /^<!-- end of table -->$/ { skip = 0 }
    !skip && !/^<!-- table -->$/ { print }
' docs/benchmarks.md > "$table.page"
mv "$table.page" docs/benchmarks.md
cat "$table"
