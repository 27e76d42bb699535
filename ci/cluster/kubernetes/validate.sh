#!/usr/bin/env bash
# Holds the Kubernetes files to the schemas that Kubernetes publishes, and to what the scripts need of them. Needs python3 with
# kubernetes-validate, which brings the schemas along (`pip install -r ci/cluster/kubernetes/requirements.txt`), and, for what
# kustomize makes of them, kubectl. Asks no cluster.
#
#   validate.sh [FOLDER]     another overlay than this folder
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:-$here}
# The version in which everything used here is stable, and a recent one.
versions=(1.33 1.36)
python=${PYTHON:-python3}
"$python" -c 'import kubernetes_validate' 2> /dev/null || {
    echo "error: $python has no kubernetes-validate: pip install -r $here/requirements.txt" >&2
    exit 2
}
made=$(mktemp)
trap 'rm -f "$made"' EXIT
if command -v kubectl > /dev/null; then
    kubectl kustomize "$folder" > "$made"
    echo "kubectl kustomize: $(grep -c '^kind:' "$made") objects"
else
    echo "note: kubectl is not installed: the files are looked at as they are, and kustomization.yaml is not" >&2
    for file in "$folder"/{volume-claim,indexed-job,merge-job}.yaml; do
        printf -- '---\n'
        cat "$file"
    done > "$made"
fi
"$python" - "$made" "${versions[@]}" << 'PYTHON'
import sys
import kubernetes_validate, yaml

objects = [o for o in yaml.safe_load_all(open(sys.argv[1])) if o]
for version in sys.argv[2:]:
    for o in objects:
        # Strict: a key that the schema does not know is an error, as `kubectl apply` has it.
        kubernetes_validate.validate(o, version, strict=True)
    print(f"schemas of Kubernetes {version}: {len(objects)} objects are valid")

# The schemas let through what only the server's own rules refuse, and know nothing of the scripts.
named = {(o["kind"], o["metadata"]["labels"]["app.kubernetes.io/component"]): o for o in objects if o["kind"] == "Job"}
shards, merge = named["Job", "shard"]["spec"], named["Job", "merge"]["spec"]
problems = []
def must(condition, message):
    if not condition:
        problems.append(message)
must(shards["completionMode"] == "Indexed", "shards get their number from an Indexed Job only")
must("backoffLimitPerIndex" in shards, "FailIndex wants backoffLimitPerIndex")
claims = {o["metadata"]["name"] for o in objects if o["kind"] == "PersistentVolumeClaim"}
for job in (shards, merge):
    pod = job["template"]["spec"]
    must(pod["restartPolicy"] == "Never", "podFailurePolicy wants restartPolicy: Never")
    names = [container["name"] for container in pod["containers"]]
    volumes = {volume["name"] for volume in pod["volumes"]}
    for volume in pod["volumes"]:
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        must(claim is None or claim in claims, f"no claim {claim}")
    for rule in job["podFailurePolicy"]["rules"]:
        container = rule.get("onExitCodes", {}).get("containerName")
        must(container is None or container in names, f"podFailurePolicy names no container of the pod: {container}")
        operator = rule.get("onExitCodes", {}).get("operator", "In")
        must(operator in ("In", "NotIn"), f"podFailurePolicy has no operator {operator}")
    for container in pod["containers"]:
        for mount in container["volumeMounts"]:
            must(mount["name"] in volumes, f"no volume {mount['name']}")
settings = [o for o in objects if o["kind"] == "ConfigMap"]
for o in settings:
    must(str(shards["completions"]) == o["data"]["SHARD_COUNT"], "SHARD_COUNT is not the number of completions")
    for job in (shards, merge):
        for container in job["template"]["spec"]["containers"]:
            must(container["envFrom"][0]["configMapRef"]["name"] == o["metadata"]["name"], "a Job reads other settings")
for problem in problems:
    print(f"error: {problem}", file=sys.stderr)
sys.exit(1 if problems else 0)
PYTHON
