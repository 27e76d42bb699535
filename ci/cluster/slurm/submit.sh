#!/usr/bin/env bash
# One command from a suite to a merged run on a Slurm cluster: submits an array with a shard for each task, and a job that
# merges them when all have ended. Run it on a login node, in a folder that the nodes share.
set -euo pipefail

usage() {
    cat << 'USAGE'
usage: submit.sh [OPTION…] [--] PATH… [options of `placebench run`]

  --shards N         number of shards (4)
  --name NAME        name of the run; the time if absent. The name of an earlier run goes on with it
  --only LIST        submit these shards only, as 3 or 1,4-5: those that were lost
  --dir DIR          folder that all nodes share (reports/cluster)
  --kind hash|slice  how cases are dealt out (hash)
  --program FILE     the placebench to use; absent: the one on the PATH, else a release build of this checkout
  --sbatch ARG       an argument for the sbatch of the array, such as --sbatch=--gres=gpu:2; may be repeated
USAGE
}
fail() {
    echo "error: $1" >&2
    exit 2
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
shards=4 name='' only='' dir=reports/cluster kind=hash program=${SHARD_PROGRAM:-} sbatch_arguments=()
while [ $# -gt 0 ]; do
    case $1 in
    --shards | --name | --only | --dir | --kind | --program | --sbatch)
        [ $# -ge 2 ] || fail "$1 wants a value"
        option=$1 value=$2
        shift 2
        ;;
    --shards=* | --name=* | --only=* | --dir=* | --kind=* | --program=* | --sbatch=*)
        option=${1%%=*} value=${1#*=}
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    --)
        shift
        break
        ;;
    *) break ;;
    esac
    case $option in
    --shards) shards=$value ;;
    --name) name=$value ;;
    --only) only=$value ;;
    --dir) dir=$value ;;
    --kind) kind=$value ;;
    --program) program=$value ;;
    --sbatch) sbatch_arguments+=("$value") ;;
    esac
done
[ $# -gt 0 ] || {
    usage >&2
    exit 2
}
[[ $shards =~ ^[1-9][0-9]{0,4}$ ]] || fail "--shards is \`$shards\`: expected a number"
[[ -z $only || $only =~ ^[0-9,-]+$ ]] || fail "--only is \`$only\`: expected numbers of shards, as 3 or 1,4-5"
[ -z "$only" ] || [ -n "$name" ] || fail "--only goes on with a run: name it with --name"
command -v sbatch > /dev/null || fail "there is no sbatch here: run this on a login node of the cluster"

if [ -z "$program" ]; then
    program=$(command -v placebench || true)
fi
if [ -z "$program" ]; then
    root=$(cd "$here/../../.." && pwd)
    (cd "$root" && cargo build --locked --release)
    program=$root/target/release/placebench
fi
program=$(realpath "$program")
[ -x "$program" ] || fail "$program cannot be executed"
mkdir -p "$dir"
SHARD_RUN=${name:-$(date -u +%Y%m%dT%H%M%SZ)-$(printf '%04x' $RANDOM)}
SHARD_DIR=$(realpath "$dir") SHARD_COUNT=$shards SHARD_KIND=$kind SHARD_PROGRAM=$program SHARD_HOME=$(dirname "$here")
export SHARD_RUN SHARD_DIR SHARD_COUNT SHARD_KIND SHARD_PROGRAM SHARD_HOME
# Each task has its own.
unset SHARD_INDEX
logs=$SHARD_DIR/$SHARD_RUN/logs
mkdir -p "$logs"

array=$(sbatch --parsable --export=ALL --array="${only:-1-$shards}" --chdir="$PWD" --output="$logs/shard-%a.log" \
    "${sbatch_arguments[@]}" "$here/placebench-array.sbatch" "$@")
array=${array%%;*}
merge=$(sbatch --parsable --export=ALL --dependency="afterany:$array" --chdir="$PWD" --output="$logs/merge-%j.log" \
    "$here/merge.sbatch")
merge=${merge%%;*}
cat << NOTE
run    $SHARD_RUN: $shards shards as array job $array, merged by job $merge
watch  squeue --jobs=$array,$merge
       tail -F $logs/*.log
result $SHARD_DIR/$SHARD_RUN/merged/latest/report.html; exit code: scontrol show job $merge, or verdict.json there
lost   a shard that ended without a result: submit.sh --name $SHARD_RUN --shards $shards --only NUMBER and the same PATH…
NOTE
