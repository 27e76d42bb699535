#!/usr/bin/env bash
# Runs one shard of a suite, or goes on with it where it was stopped. Started again with the same settings it never begins
# anew, so that a scheduler may kill it at any moment and start it on another machine.
#
#   SHARD_RUN=nightly SHARD_COUNT=4 SHARD_INDEX=2 run-shard.sh scenarios/ [options of `placebench run`]
#
# The settings are in shard-settings.sh. Ends with placebench's own exit code and leaves it in SHARD_DIR/SHARD_RUN/ended/
# where it is a result. SIGTERM and SIGINT end the attempt that is running, keep what was made, and give 143. SIGUSR1 does so
# too, and puts a job of Slurm back into its queue, for the end of its time.
set -euo pipefail
# Before anything else, so that no signal finds this shell unprepared.
child='' stopped_by='' caught='' is_told=''
# shellcheck disable=SC2317,SC2329 # called by the traps
stop() {
    caught=yes stopped_by=${stopped_by:-$1}
    tell
}
# Once: a second signal would end placebench without its closing words.
tell() {
    [ -n "$child" ] && [ -z "$is_told" ] || return 0
    is_told=yes
    kill -TERM "$child" 2> /dev/null || true
}
trap 'stop TERM' TERM INT
trap 'stop USR1' USR1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=ci/cluster/shard-settings.sh
. "$here/shard-settings.sh"
[ $# -gt 0 ] || usage_error "name the scenario files or folders to run"

index=${SHARD_INDEX:-${SLURM_ARRAY_TASK_ID:-}}
if [ -z "$index" ] && [ -n "${JOB_COMPLETION_INDEX:-}" ]; then
    index=$((JOB_COMPLETION_INDEX + 1))
fi
if ! [[ $index =~ ^[1-9][0-9]{0,4}$ ]] || [ "$index" -gt "$SHARD_COUNT" ]; then
    usage_error "the shard is \`$index\`: expected a number from 1 to $SHARD_COUNT in SHARD_INDEX"
fi
id=$(run_id "$index")
ended=$folder/ended/$id
rm -f "$ended"

# A job of a scheduler proposes no snapshots: its copy of the suite is shared or read-only.
export CI=${CI:-true}

# Puts a job of Slurm back into its queue; false where there is none, or it was put back too often.
requeue() {
    [ -n "${SLURM_JOB_ID:-}" ] || return 1
    if [ "${SLURM_RESTART_COUNT:-0}" -ge "${SHARD_MAX_REQUEUES:-10}" ]; then
        echo "error: shard $index was put back into the queue ${SLURM_RESTART_COUNT} times; SHARD_MAX_REQUEUES allows more" >&2
        return 1
    fi
    scontrol requeue "$SLURM_JOB_ID"
}

echo "shard $index of $SHARD_COUNT of $SHARD_RUN on $(uname -n), start $((${SLURM_RESTART_COUNT:-0} + 1))"
status=143
if [ -z "$stopped_by" ]; then
    "$program" run "$@" --partition "$SHARD_KIND:$index/$SHARD_COUNT" --no-cases pass \
        --output-dir "$folder/shards" --run-id "$id" --resume-or-start &
    child=$!
    # One may have come before there was a child to tell.
    [ -z "$stopped_by" ] || tell
    # A signal cuts `wait` short; what the program itself ended with comes from the last one that knows it.
    while :; do
        caught='' answer=0
        wait "$child" || answer=$?
        [ "$answer" -eq 127 ] || status=$answer
        [ -n "$caught" ] || break
    done
fi

# A run that was interrupted may have an exit code that says something of the cases it came to: a case failed. Its verdict says
# whether it is whole.
if [ -n "$stopped_by" ] && ! grep --quiet '^  "complete": true' "$folder/shards/$id/verdict.json" 2> /dev/null; then
    status=143
fi
case $status in
0 | 100 | 111 | 112 | 113)
    # Whole or not there: the merge job may be looking.
    printf '%s\n' "$status" > "$ended.$$"
    mv "$ended.$$" "$ended"
    ;;
*)
    if [ "$stopped_by" = USR1 ]; then
        echo "shard $index: the time of the job is over; it goes on later"
        requeue || true
    elif [ -z "$stopped_by" ] && [ "$status" -gt 128 ]; then
        echo "shard $index: placebench was killed by signal $((status - 128)); what it made is kept" >&2
        requeue || true
    fi
    ;;
esac
exit "$status"
