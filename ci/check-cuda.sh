#!/usr/bin/env bash
# Type-checks the `cuda` feature on a machine that has neither a GPU nor a CUDA toolkit: a stand-in for nvcc answers the
# build scripts, and nothing is linked or run.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/target/cuda-check-tools
mkdir -p "$tools"
cat > "$tools/nvcc" <<'NVCC'
#!/usr/bin/env bash
case " $* " in
*" --version "*)
    printf 'nvcc: NVIDIA (R) Cuda compiler driver\nCopyright\nBuilt on x\nCuda compilation tools, release 13.0, V13.0.88\n'
    exit 0
    ;;
esac
out= dir= ptx= src= lib=
while [ $# -gt 0 ]; do
    case "$1" in
    -o) out=$2; shift ;;
    --output-directory) dir=$2; shift ;;
    --ptx) ptx=1 ;;
    --lib) lib=1 ;;
    *.cu) src=$1 ;;
    esac
    shift
done
if [ -n "$ptx" ]; then
    : > "$dir/$(basename "${src%.cu}").ptx"
elif [ -n "$lib" ]; then
    printf '!<arch>\n' > "$out"
else
    : > "$out"
fi
NVCC
chmod +x "$tools/nvcc"
PATH=$tools:$PATH CUDA_COMPUTE_CAP=90 \
    cargo clippy --locked -p placebench --features cuda -- -D warnings
