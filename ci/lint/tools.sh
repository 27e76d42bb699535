# shellcheck shell=bash
# Sourced: sets `tools`, a folder of the pinned linters (ci/lint/requirements.txt), installed once below target/.
lint_venv=$PWD/target/ci-lint/venv
if ! cmp --silent ci/lint/requirements.txt "$lint_venv/requirements.txt"; then
    rm -rf "$lint_venv"
    python3 -m venv "$lint_venv"
    "$lint_venv/bin/pip" install --quiet --only-binary=:all: --require-hashes --requirement ci/lint/requirements.txt
    cp ci/lint/requirements.txt "$lint_venv/requirements.txt"
fi
# shellcheck disable=SC2034 # for the script that sources this
tools=$lint_venv/bin
