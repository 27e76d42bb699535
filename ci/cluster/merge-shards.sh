#!/usr/bin/env bash
# Puts the shards of a run together and judges them as one run. Says of each shard how it ended, then what `placebench merge`
# says, and ends with its exit code: 96 where a shard is missing or unfinished.
#
#   SHARD_RUN=nightly SHARD_COUNT=4 merge-shards.sh [options of `placebench merge`]
#
# The settings are in shard-settings.sh; besides them
#   SHARD_WAIT     seconds to wait for shards that have not ended; 0 if absent, for a scheduler that waits itself
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=ci/cluster/shard-settings.sh
. "$here/shard-settings.sh"
[[ ${SHARD_WAIT:-0} =~ ^[0-9]{1,7}$ ]] || usage_error "SHARD_WAIT is \`$SHARD_WAIT\`: expected a number of seconds"

have_all_ended() {
    local index
    for ((index = 1; index <= SHARD_COUNT; index++)); do
        [ -f "$folder/ended/$(run_id "$index")" ] || return 1
    done
}
until have_all_ended || [ "$SECONDS" -ge "${SHARD_WAIT:-0}" ]; do
    sleep 5
done

for ((index = 1; index <= SHARD_COUNT; index++)); do
    id=$(run_id "$index")
    if [ -f "$folder/ended/$id" ]; then
        state="ended with exit code $(cat "$folder/ended/$id")"
        [ -f "$folder/shards/$id/run.json" ] || state="$state, no case fell to it"
    elif [ -f "$folder/shards/$id/run.json" ]; then
        made=$(wc -l < "$folder/shards/$id/attempts.jsonl")
        state="did not come to its end; attempts on record: $made"
    else
        state="never began"
    fi
    echo "shard $index of $SHARD_COUNT: $state"
done
# `run` and `merge` are different answers to who is asked: only merge's counts.
exec "$program" merge "$folder/shards" --output-dir "$folder/merged" "$@"
