#!/usr/bin/env bash
# The benches, in the profile that is built already. Figures to publish come from a release build.
# The whole workspace is named so that features, and with them the build of candle, are those of the tests.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo bench --locked --profile dev --workspace --bench planner --bench decode --bench linear -- --quick
# Prints ratios of its own: several sequences against one at a time, on two logical devices of one thread each.
RAYON_NUM_THREADS=1 cargo bench --locked --profile dev --workspace --bench sequences
# What the harness adds to an attempt (budget 30 ms), and what it takes to judge and render many; 10,000 attempts are for a
# release build: cargo bench -p placebench-report --bench scale
cargo bench --locked --profile dev --workspace --bench overhead -- 3
cargo bench --locked --profile dev --workspace --bench scale -- 600
