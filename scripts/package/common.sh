#!/usr/bin/env bash
# Sourced by the packaging scripts: which binary is packed, and the tree of files all packages share.

repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# Sets binary: ROOKEEPER_BIN, or a release build of this checkout.
find_binary() {
  binary="${ROOKEEPER_BIN:-}"
  if [ -z "$binary" ]; then
    (cd "$repository" && cargo build --release --package rookeeper) || die "the build failed"
    binary="${CARGO_TARGET_DIR:-$repository/target}/release/rookeeper"
  fi
  [ -x "$binary" ] || die "$binary is not an executable file"
}

# The version of the package: that of the workspace.
package_version() {
  sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$repository/Cargo.toml"
}

# Copies the binary without debug symbols: $1 is the destination.
install_binary() {
  install -D -m 755 "$binary" "$1"
  if command -v strip > /dev/null; then
    strip --strip-debug --strip-unneeded "$1"
  fi
}

# Copies the scripts of operators into $1; zkEnv.sh, which they source, into $2.
install_scripts() {
  local script
  mkdir -p "$1" "$2"
  for script in "$repository"/scripts/zk*.sh "$repository"/scripts/zookeeper-server-*.sh; do
    case "$script" in
      */zkEnv.sh) install -m 644 "$script" "$2/zkEnv.sh" ;;
      *) install -m 755 "$script" "$1/" ;;
    esac
  done
}

# Man pages and completions below $1, laid out as under /usr/share.
install_generated() {
  "$binary" generate "$1" || die "man pages and completions could not be written"
}
