# shellcheck shell=bash
# What the scripts of this folder read from the environment; sourced by them. The names do not begin with PLACEBENCH_: such
# variables are handed on to workers and go on record, and where a shard lies is no part of what it measures.
#
#   SHARD_RUN      name of the whole run; the same for all its shards, and for a shard that is started again
#   SHARD_COUNT    number of shards
#   SHARD_INDEX    this shard, from 1; absent: from Slurm's array or from Kubernetes' indexed Job
#   SHARD_DIR      folder that all machines share; reports/cluster if absent. The run lies in SHARD_DIR/SHARD_RUN
#   SHARD_KIND     hash (by name; the default) or slice (in turn)
#   SHARD_PROGRAM  the placebench to use; the one on the PATH if absent

usage_error() {
    echo "error: $1" >&2
    exit 2
}

# A plain name: it becomes part of paths and of the names of runs.
[[ ${SHARD_RUN:-} =~ ^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$ ]] ||
    usage_error "SHARD_RUN is \`${SHARD_RUN:-}\`: expected a name of the whole run, of at most 64 letters, digits, dots, dashes and underscores"

# An array that lacks shards, as of those that are made again, does not know how many there are.
if [ -z "${SHARD_COUNT:-}" ] && [ "${SLURM_ARRAY_TASK_MIN:-}" = 1 ] &&
    [ "${SLURM_ARRAY_TASK_MAX:-}" = "${SLURM_ARRAY_TASK_COUNT:-}" ]; then
    SHARD_COUNT=$SLURM_ARRAY_TASK_COUNT
fi
[[ ${SHARD_COUNT:-} =~ ^[1-9][0-9]{0,4}$ ]] ||
    usage_error "SHARD_COUNT is \`${SHARD_COUNT:-}\`: expected the number of shards of the whole run"

SHARD_KIND=${SHARD_KIND:-hash}
case $SHARD_KIND in
hash | slice) ;;
*) usage_error "SHARD_KIND is \`$SHARD_KIND\`: expected hash or slice" ;;
esac

program=${SHARD_PROGRAM:-placebench}
command -v "$program" > /dev/null || usage_error "there is no program $program; SHARD_PROGRAM names another"

folder=${SHARD_DIR:-reports/cluster}/$SHARD_RUN
mkdir -p "$folder/shards" "$folder/ended"

# The name of a shard's run.
run_id() {
    printf '%s-shard-%s-of-%s\n' "$SHARD_RUN" "$1" "$SHARD_COUNT"
}
