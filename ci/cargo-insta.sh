#!/usr/bin/env bash
# The real `cargo insta` on placebench's snapshots.
#
#   ci/cargo-insta.sh                        check that it lists, accepts, rejects and reviews what placebench wrote
#   ci/cargo-insta.sh review [SUITE] [ARG…]  review, accept, reject or pending-snapshots on a suite (scenarios if absent)
#
# `cargo insta` looks for snapshots in packages only. The second form works on a suite that lies in none, as `scenarios`
# here, by way of a package without code that claims the suite's folder.
set -euo pipefail
version=1.49.0
root=$(cd "$(dirname "$0")/.." && pwd)
tools=${CARGO_TARGET_DIR:-$root/target}/tools

have=$(cargo insta --version 2>/dev/null | awk '{ print $2 }' || true)
if [ -z "$have" ]; then
    PATH=$tools/bin:$PATH
    have=$(cargo insta --version 2>/dev/null | awk '{ print $2 }' || true)
fi
if [ -z "$have" ]; then
    cargo install cargo-insta --version "$version" --locked --root "$tools"
elif [ "$have" != "$version" ]; then
    echo "note: cargo-insta $have is installed; placebench was tried with $version" >&2
fi
export PATH

if [ $# -eq 0 ]; then
    cd "$root"
    PLACEBENCH_TEST_CARGO_INSTA=1 cargo test --locked -p placebench --no-default-features --test cli -- cargo_insta
    # The same way that a person takes it with a suite in no package.
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    mkdir -p "$scratch/snapshots/s"
    sed 's/^finish_reason: .*/finish_reason: stop/' harness/cli/tests/data/cargo_insta/accepted.snap.txt \
        > "$scratch/snapshots/s/p@cpu.snap.new"
    listed=$("$0" pending-snapshots "$scratch" --as-json)
    [[ $listed == *"p@cpu.snap"* ]] || { echo "a suite in no package is not found: $listed" >&2; exit 1; }
    "$0" accept "$scratch"
    grep -q '^finish_reason: stop$' "$scratch/snapshots/s/p@cpu.snap"
    [ ! -e "$scratch/snapshots/s/p@cpu.snap.new" ]
    echo "cargo insta and placebench agree"
    exit
fi

command=$1
shift
suite=$root/scenarios
if [ $# -gt 0 ] && [ -d "$1" ]; then
    suite=$(cd "$1" && pwd)
    shift
fi
package=$(mktemp -d)
trap 'rm -rf "$package"' EXIT
# A folder is searched if a target's source lies in it; the source need not be there, for nothing is built.
cat > "$package/Cargo.toml" <<TOML
[package]
name = "suite"
version = "0.0.0"
edition = "2024"
[lib]
path = '$suite/absent.rs'
[workspace]
TOML
# It asks which insta the package uses; this one uses none, and says so on standard error.
cargo insta "$command" --manifest-path "$package/Cargo.toml" "$@"
