#!/usr/bin/env bash
# How fast are prefill and decode beside other programs, on this machine, with the same file and as many threads? Prints
# Markdown tables of tokens per second, of ratios, and of how much of the memory's bandwidth decoding uses. Takes about five minutes
# on an idle machine; on a busy one the figures mean nothing, the ratios a little.
#   bash ci/bench-peers.sh                 the build that the README's commands make
#   bash ci/bench-peers.sh --release       figures to publish
#   BENCH_TRANSFORMERS=1 bash ci/bench-peers.sh    beside transformers too (installs 3 GB)
# Everything after `--` goes to ci/bench_peers.py: `-- --rounds 5 --threads 1,2,4`.
set -euo pipefail
cd "$(dirname "$0")/.."
build=()
profile=debug
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    case "$1" in
    --release) build=(--release) profile=release ;;
    *)
        echo "bench-peers.sh: unknown option $1" >&2
        exit 2
        ;;
    esac
    shift
done
[ $# -eq 0 ] || shift

bash ci/fetch-models.sh >&2
cargo build --locked "${build[@]}" >&2
venv=target/bench-peers/venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
install() {
    "$venv/bin/python" -m pip install --quiet --requirement "$1" >&2
}
# llama.cpp is compiled here, for this processor, unless PyPI has a wheel: some minutes, once.
install ci/peers-requirements.txt || echo "llama-cpp-python cannot be installed (it needs a C++ compiler): left out" >&2
if [ "${BENCH_TRANSFORMERS:-}" = 1 ]; then
    install ci/peers-transformers-requirements.txt || echo "transformers cannot be installed: left out" >&2
fi
target=${CARGO_TARGET_DIR:-target}
"$venv/bin/python" ci/bench_peers.py --binary "$target/$profile/placebench" "$@"
