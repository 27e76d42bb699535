#!/usr/bin/env bash
# Hands every format that a run is written in to the reader it is made for, or to its published schema, and prints one line
# a format. The formats are those of the shipped smoke suite and faults, and of cases that go wrong on purpose.
#   bash ci/check-formats.sh                 the build that the README's commands make
#   PLACEBENCH=path/to/placebench bash ci/check-formats.sh
# Needs Python 3 with venv, and Node.js with npm; the readers are installed below target/.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in python3 node npm; do
    command -v "$tool" > /dev/null || { echo "check-formats.sh: $tool is missing" >&2; exit 2; }
done
binary=${PLACEBENCH:-}
if [ -z "$binary" ]; then
    cargo build --locked --quiet
    binary=${CARGO_TARGET_DIR:-target}/debug/placebench
fi
readers=$PWD/target/check-formats
# Only a complete installation gets the mark, so that a broken download is repeated.
mark=$readers/.complete-$(cat ci/formats/*.txt ci/formats/package-lock.json | sha256sum | cut -c1-16)
if [ ! -e "$mark" ]; then
    rm -rf "$readers"
    mkdir -p "$readers"
    python3 -m venv "$readers/venv"
    pip=("$readers/venv/bin/python" -m pip --disable-pip-version-check --quiet)
    "${pip[@]}" install --no-deps --requirement ci/formats/requirements.txt
    "${pip[@]}" download --no-deps --no-binary :all: --no-build-isolation --require-hashes \
        --requirement ci/formats/junit-schema.txt --dest "$readers"
    tar -xzf "$readers"/pytest-*.tar.gz -C "$readers" --strip-components=3 --wildcards '*/junit-10.xsd'
    cp ci/formats/package.json ci/formats/package-lock.json "$readers"
    (cd "$readers" && npm ci --ignore-scripts --no-audit --no-fund --silent)
    touch "$mark"
fi
cp ci/formats/annotations.mjs "$readers"
"$readers/venv/bin/python" ci/formats/check.py --binary "$binary" --readers "$readers"
