#!/usr/bin/env bash
# Proves the gate on the machine it runs on: a program held against itself must never be called slower or different (A/A), and
# with every step of one side 10 % longer it must be (A/B).
#
#   ci/gate-proof.sh [A/A runs, 20 if absent] [A/B runs, 5 if absent]
#
# PLACEBENCH names the program, target/debug/placebench if absent. WORK is what is timed: `waits` (default; steps that pass
# asleep, as on a device of its own, so that a machine with other work can be proved too) or `model` (the tiny model on the
# processor: for a machine that is left alone). SLOWDOWN is the per cent of A/B. Runs stay in OUTPUT_DIR.
set -euo pipefail
cd "$(dirname "$0")/.."

equal_runs=${1:-20}
slower_runs=${2:-5}
slowdown=${SLOWDOWN:-10}
placebench=$(realpath "${PLACEBENCH:-target/debug/placebench}")
output_dir=${OUTPUT_DIR:-$(mktemp -d)}
mkdir -p "$output_dir/suite"

case ${WORK:-waits} in
waits)
    mkdir -p "$output_dir/suite/models/m"
    echo '{"num_hidden_layers": 8, "mock_step_ms": 25}' >"$output_dir/suite/models/m/config.json"
    engine=mock model="$output_dir/suite/models/m" tokens=8 prompt="The Queen"
    # Nothing is waited for while loading: its two milliseconds are those of the system.
    metrics='["ttft_s", "tpot_s"]'
    ;;
model)
    engine=candle model="$PWD/scenarios/models/tiny" tokens=200
    # Long enough that its first token is more than a millisecond.
    prompt=$(printf 'The Queen said to the rabbit that it was late. %.0s' {1..12})
    metrics='["load_s", "ttft_s", "tpot_s"]'
    ;;
*)
    echo "WORK is waits or model" >&2
    exit 2
    ;;
esac
split='{ "model.embed_tokens" = "sim:0", "model.layers.0-3" = "sim:0", "" = "sim:1" }'
cat >"$output_dir/suite/proof.toml" <<SCENARIO
schema_version = 1
engine = "$engine"
[model]
path = "$model"
[devices]
"sim:0" = { on = "cpu", memory = "64MiB" }
"sim:1" = { on = "cpu", memory = "64MiB" }
[[prompt]]
name = "queen"
text = "$prompt"
[generation]
max_new_tokens = $tokens
ignore_eos = true
[placement.single]
device_map = "sim:0"
[placement.split]
device_map = $split
[expect]
agreement = { reference = "single", rule = "exact" }
SCENARIO
printf '[profile.default.gate]\nmetrics = %s\n' "$metrics" >"$output_dir/placebench.toml"
export PLACEBENCH_CONFIG_FILE=$output_dir/placebench.toml
echo "calibrating"
"$placebench" doctor "$output_dir/suite/proof.toml" --quick --calibrate --pairs 20 --output "$output_dir/noise.json" >/dev/null || true

# hold COUNT FLAGS…: so many runs against itself, each with another order; prints how they ended.
hold() {
    local count=$1
    shift
    for seed in $(seq "$count"); do
        local code=0
        "$placebench" run "$output_dir/suite" --against "$placebench" --noise "$output_dir/noise.json" --seed "$seed" \
            --output-dir "$output_dir" --quiet "$@" >"$output_dir/last.txt" 2>&1 || code=$?
        [[ $code =~ ^(0|100|111|112)$ ]] || { cat "$output_dir/last.txt" >&2; exit 1; }
        echo "$code"
    done
}

count() { grep -cx "$1" <<<"$2" || true; }

equal=$(hold "$equal_runs")
false_alarms=$(($(count 111 "$equal") + $(count 100 "$equal")))
echo "A/A: $equal_runs runs: $(count 0 "$equal") the same, $(count 112 "$equal") without a verdict, $false_alarms false alarms"

slower=$(hold "$slower_runs" --inject-slowdown "$slowdown")
caught=$(count 111 "$slower")
echo "A/B, each step $slowdown % longer: $slower_runs runs: $caught caught, $(count 112 "$slower") without a verdict," \
    "$(count 0 "$slower") missed"
echo "runs: $output_dir"
[[ $false_alarms -eq 0 && $caught -eq $slower_runs ]]
