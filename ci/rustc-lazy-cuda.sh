#!/usr/bin/env bash
# A compiler wrapper (RUSTC_WRAPPER), used by ci/build-cuda.sh and the container file. candle links NVIDIA's driver libraries by
# a feature of cudarc that no dependent can turn off, and a binary linked so does not even start without a driver. The compiler
# is told the other feature instead, for cudarc alone: the libraries are opened when a GPU is first used.
if [ "${CARGO_PKG_NAME:-}" != cudarc ]; then
    exec "$@"
fi
arguments=()
for argument in "$@"; do
    [ "$argument" = 'feature="dynamic-linking"' ] && argument='feature="dynamic-loading"'
    arguments+=("$argument")
done
exec "${arguments[@]}"
