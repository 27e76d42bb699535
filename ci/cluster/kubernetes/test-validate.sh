#!/usr/bin/env bash
# validate.sh lets the files of this folder pass, and each of these mistakes not.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bash "$here/validate.sh"
mistakes=(
    's/completionMode: Indexed/completionMode: NonIndexed/'
    's/backoffLimitPerIndex: 3/backoffLimitPerIndx: 3/'
    's/backoffLimitPerIndex: 3/backoffLimit: 3/'
    's/restartPolicy: Never/restartPolicy: OnFailure/'
    's/containerName: shard/containerName: shards/'
    's/completions: 4/completions: 5/'
    's/operator: In$/operator: Among/'
    's/sizeLimit: 8Gi/sizeLimit: [8Gi]/'
    's/mountPath: \/shared/mountpath: \/shared/'
    's/claimName: placebench-runs/claimName: placebench/'
    '0,/name: shared-memory/s//name: memory/'
)
failures=0
for mistake in "${mistakes[@]}"; do
    rm -rf "$work/kubernetes"
    cp -r "$here" "$work/kubernetes"
    sed -i -e "$mistake" "$work/kubernetes/indexed-job.yaml"
    if cmp --silent "$here/indexed-job.yaml" "$work/kubernetes/indexed-job.yaml"; then
        echo "FAIL $mistake changes nothing"
    elif bash "$here/validate.sh" "$work/kubernetes" > "$work/log" 2>&1; then
        echo "FAIL $mistake is let through"
    else
        echo "ok   $mistake is refused"
        continue
    fi
    failures=$((failures + 1))
done
echo "${#mistakes[@]} mistakes, $failures not refused"
[ "$failures" -eq 0 ]
