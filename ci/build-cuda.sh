#!/usr/bin/env bash
# Builds placebench with the `cuda` feature on a machine that has neither a GPU, nor a driver, nor a CUDA toolkit, and leaves
# one binary that runs on machines with and without GPUs: NVIDIA's libraries are opened when a `cuda:N` is first used.
#
#   ci/build-cuda.sh [CARGO ARGUMENTS]       build --release -p placebench --features cuda --locked  if none are given
#
# Needs Rust, a C++ compiler, Python 3 with pip, and 271 MB below target/. CUDA_COMPUTE_CAP chooses the card (90, the H100 and
# H200, if unset): quantised kernels are compiled for that card alone.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${CUDA_BUILD_DIR:-$PWD/target/cuda-build}
toolkit=$work/toolkit
home=$toolkit/nvidia/cu13

# The wheels unpack into one tree that is a CUDA_HOME. Only a complete tree gets the mark, so that a broken download is repeated.
if [ ! -e "$toolkit/.complete" ]; then
    rm -rf "$toolkit" "$work/wheels"
    mkdir -p "$toolkit" "$work/wheels"
    python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes \
        -r ci/cuda-requirements.txt -d "$work/wheels"
    python3 - "$work/wheels" "$toolkit" <<'PYTHON'
import os, pathlib, sys, zipfile

wheels, target = map(pathlib.Path, sys.argv[1:])
for wheel in sorted(wheels.glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            if not entry.filename.startswith("nvidia/"):
                continue
            path = archive.extract(entry, target)
            mode = entry.external_attr >> 16  # extract() forgets that some files are programs
            if mode and not entry.is_dir():
                os.chmod(path, mode | 0o444)
PYTHON
    ln -sfn lib "$home/lib64"
    rm -rf "$work/wheels"
    touch "$toolkit/.complete"
fi

# candle asks for `-lcudart`; a folder that holds only the static library under that name makes the linker take it.
mkdir -p "$work/link"
ln -sfn "$home/lib/libcudart_static.a" "$work/link/libcudart.a"

export CUDA_HOME=$home PATH=$home/bin:$PATH
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90}
export NVCC_APPEND_FLAGS=${NVCC_APPEND_FLAGS:---compress-mode=size} # device code a quarter as large
export CUDAFORGE_THREADS=${CUDAFORGE_THREADS:-$(nproc)}
export LIBRARY_PATH=$work/link${LIBRARY_PATH:+:$LIBRARY_PATH}
export RUSTC_WRAPPER=$PWD/ci/rustc-lazy-cuda.sh
# A folder of its own: cargo does not notice that the compiler was told something else.
export CARGO_TARGET_DIR=${CUDA_TARGET_DIR:-$PWD/target/cuda}
if [ $# -eq 0 ]; then
    set -- build --release -p placebench --features cuda --locked
fi
cargo "$@"
program=$CARGO_TARGET_DIR/release/placebench
if [ "$1" = build ] && [ -x "$program" ] && command -v readelf > /dev/null; then
    if readelf -d "$program" | grep -E 'NEEDED.*lib(cuda|cublas|curand|nvrtc)'; then
        echo "ci/build-cuda.sh: $program needs the libraries above at its start and will not run without a driver" >&2
        exit 1
    fi
    echo "$program: runs with and without NVIDIA's driver"
fi
