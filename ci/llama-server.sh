#!/usr/bin/env bash
# Builds llama.cpp's server, which the engine `openai` is tried with, at target/llama-server/llama-server. Nothing is built
# twice. Takes some four minutes on two cores; needs a C++ compiler, python3 and PyPI.
#
# The sources are those that the PyPI package llama-cpp-python carries (MIT), pinned by the hash of its archive.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.3.36
sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
folder=${CARGO_TARGET_DIR:-$PWD/target}/llama-server
program=$folder/llama-server

if [ "$(cat "$folder/version" 2>/dev/null || true)" = "$version" ] && "$program" --version > /dev/null 2>&1; then
    echo "$program is here, of llama-cpp-python $version"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/tools"
"$work/tools/bin/python" -m pip install --quiet cmake==4.4.4 ninja==1.13.2
# What is downloaded is built from, not installed: only its archive is wanted.
echo "fetching the sources"
"$work/tools/bin/python" -m pip download --quiet --no-deps --no-binary llama-cpp-python --dest "$work" \
    "llama-cpp-python==$version"
archive=$work/llama_cpp_python-$version.tar.gz
echo "$sha256  $archive" | sha256sum --check --quiet
tar -xf "$archive" -C "$work"

echo "building"
PATH=$work/tools/bin:$PATH
# For any machine of this kind of processor, and without libraries of its own.
cmake -S "$work/llama_cpp_python-$version/vendor/llama.cpp" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=OFF -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF \
    -DLLAMA_BUILD_EXAMPLES=OFF > "$work/configure.log" || { cat "$work/configure.log" >&2; exit 1; }
# nproc would count the threads of OpenMP, where they are set, instead of the processors.
cmake --build "$work/build" --target llama-server --parallel "${LLAMA_SERVER_JOBS:-$(env -u OMP_NUM_THREADS nproc)}" > "$work/build.log" ||
    { tail -50 "$work/build.log" >&2; exit 1; }
mkdir -p "$folder"
# Renamed into place, so that one that is being used goes on.
cp "$work/build/bin/llama-server" "$folder/new"
mv "$folder/new" "$program"
echo "$version" > "$folder/version"
"$program" --version
echo "built $program"
