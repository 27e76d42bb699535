#!/usr/bin/env bash
# The criterion benches, in the profile that is built already: for comparing two states of the code on one machine.
# The whole workspace is named so that features, and with them the build of candle, are those of the tests.
cargo bench --locked --profile dev --workspace --bench planner --bench decode --bench linear -- --quick
