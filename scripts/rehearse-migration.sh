#!/usr/bin/env bash
# Rehearses the way from three Java servers to three of ours and back, one at a time on the same
# directories, while a Java and a Python client write, hold ephemerals and locks, and watch.
#
#   scripts/rehearse-migration.sh [<times>]
#
# Ends with 0 only if no acknowledged write is lost and no session expired; prints how often each
# client had to reconnect. ROOKEEPER_BIN is the binary to rehearse with; without it the release
# binary of this checkout is built. Needs what compat-tests/setup.sh brings, and brings it if it is
# not there. How to do it for real: docs/migration.md.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-1} in
'' | *[!0-9]*) echo "usage: $0 [<times>]" >&2; exit 2 ;;
esac
compat-tests/setup.sh
if [ -z "${ROOKEEPER_BIN:-}" ]; then
    cargo build --release -p rookeeper
    export ROOKEEPER_BIN=${CARGO_TARGET_DIR:-$PWD/target}/release/rookeeper
fi
COMPAT_ROUNDS=${1:-1} exec cargo test -p compat-tests --test migration -- --nocapture
