#!/usr/bin/env bash
# Fuzzes every target for a while: ci/fuzz.sh [SECONDS-EACH] [TARGET...]. Ends at the first input that breaks one.
# Without names all that build without candle. Needs cargo-fuzz (cargo install cargo-fuzz --locked); see
# harness/fuzz/README.md. Not part of the gate.
set -euo pipefail
cd "$(dirname "$0")/../harness/fuzz"
seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(scenario_file worker_events stored_run safetensors_header gguf_header)
# The instrumentation is unstable; this lets the stable toolchain of the project offer it.
export RUSTC_BOOTSTRAP=1
for target in "${targets[@]}"; do
    features=()
    dictionary=()
    seeds=$target
    case $target in
        *_model) features=(--features candle) seeds=${target%_model}_header ;;
    esac
    [ ! -f "dictionaries/$seeds.dict" ] || dictionary=("-dict=dictionaries/$seeds.dict")
    mkdir -p "corpus/$target"
    echo "== $target, $seconds s"
    cargo fuzz run --fuzz-dir . "${features[@]}" "$target" "corpus/$target" "seeds/$seeds" -- \
        "${dictionary[@]}" -max_total_time="$seconds" -max_len=65536 -timeout=120 -rss_limit_mb=2048 -print_final_stats=1
done
