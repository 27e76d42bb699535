#!/usr/bin/env bash
# The criterion benches, in the profile that is built already. Figures to publish come from `cargo bench`.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo bench --locked --profile dev -p placebench-core --bench planner -- --quick
cargo bench --locked --profile dev -p placebench-engine-candle --bench decode -- --quick
