#!/usr/bin/env bash
# Makes the Python environment NAME that engine = "transformers" runs in, from pinned versions of everything.
#   ci/python-env.sh incident     Accelerate 1.4.0, Transformers 4.49.0, PyTorch 2.6.0 (ci/python/incident.txt)
#   ci/python-env.sh newest       the newest versions this project is tested with (ci/python/newest.txt)
#   ci/python-env.sh FILE.txt     any other set of requirements, as the environment FILE
# It lies in $PLACEBENCH_PYTHON_ENVS, else in target/python, where placebench looks for it. Nothing is made twice.
# PYTHON=python3.12 picks the interpreter; 3.11 to 3.13 fit both sets. Linux on x86_64 is what was measured; elsewhere the
# same versions are asked for, without NVIDIA's packages, which PyTorch then asks for itself where it wants any.
set -euo pipefail
fail() { echo "python-env: $*" >&2; exit 1; }
[ $# -eq 1 ] || fail "usage: ci/python-env.sh incident | newest | FILE.txt"
here=$(cd "$(dirname "$0")/.." && pwd)
case $1 in
    *.txt) requirements=$1 name=$(basename "$1" .txt) ;;
    *) requirements=$here/ci/python/$1.txt name=$1 ;;
esac
[ -r "$requirements" ] || fail "$requirements is not there; there are: $(cd "$here/ci/python" && echo *.txt)"
[[ $name =~ ^[A-Za-z0-9_-][A-Za-z0-9_.-]*$ ]] || fail "\`$name\` is no name for an environment"
python=${PYTHON:-python3}
command -v "$python" > /dev/null || fail "there is no $python; install Python 3.11 or later, or say which with PYTHON="
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || fail "$python is $("$python" --version 2>&1); the pinned packages need Python 3.11 or later: say which with PYTHON="
"$python" -c 'import venv, ensurepip' 2> /dev/null || fail "$python has no venv: apt-get install python3-venv, or the like"
folder=${PLACEBENCH_PYTHON_ENVS:-${CARGO_TARGET_DIR:-$here/target}/python}/$name
stamp=$folder/.placebench-requirements
wanted=$("$python" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$requirements")
check() {
    echo "importing torch, transformers and accelerate"
    "$folder/bin/python" -c 'import accelerate, torch, transformers
print(f"accelerate {accelerate.__version__}, transformers {transformers.__version__}, torch {torch.__version__}")' \
        || fail "the stack in $folder cannot be imported; remove the folder and try again"
}
# Made by hand from the same versions is as good: what is installed counts.
has_all() {
    "$folder/bin/python" - "$requirements" <<'PY'
import importlib.metadata, sys
wanted = (line.partition(";")[0].strip() for line in open(sys.argv[1]) if "==" in line and not line.startswith("#"))
conditions = {line.partition(";")[0].strip() for line in open(sys.argv[1]) if ";" in line}
for pin in wanted:
    name, _, version = pin.partition("==")
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        if pin in conditions:
            continue
        sys.exit(1)
    if found.partition("+")[0] != version:
        sys.exit(1)
PY
}
if [ -x "$folder/bin/python" ]; then
    if [ "$(cat "$stamp" 2> /dev/null)" = "$wanted" ] || has_all; then
        [ -w "$folder" ] && echo "$wanted" > "$stamp"
        echo "$folder is up to date"
        check
        exit 0
    fi
fi
mkdir -p "$folder"
free_kib=$(df -Pk "$folder" | awk 'NR == 2 { print $4 }')
echo "making $folder: about 3 GB to download, 5.5 GB on disk"
[ "$free_kib" -gt 6500000 ] || fail "$folder has $((free_kib / 1024)) MiB free; 6.5 GB are needed: free some, or set PLACEBENCH_PYTHON_ENVS"
"$python" -m venv --clear "$folder"
"$folder/bin/python" -m pip install --disable-pip-version-check --only-binary=:all: --requirement "$requirements" \
    || fail "the packages could not be installed; $folder is unfinished: run this again once that is mended"
check
# Last of all: an environment without it was interrupted, and is made anew.
echo "$wanted" > "$stamp"
echo "made $folder"
