#!/usr/bin/env bash
# Executes what ci/ tells people to do, on this machine: the `sh` blocks of ci/README.md one after the other, every `run:` step of the GitHub template with its matrix, conditions,
# artifacts and outputs (ci/execute_workflow.py), every job of the GitLab template by gitlab-ci-local. Not GitHub and not GitLab:
# runners, permissions and concurrency are theirs. The build step is replaced by a program that is there (PLACEBENCH_BIN, else a
# build of this repository). Takes about half a minute, then a minute the first time; needs Python 3.11, Node 18, PyPI and npm once.
#   ci/check-templates.sh [page|github|gitlab]...
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- page github gitlab
source ci/lint/tools.sh
program=${PLACEBENCH_BIN:-}
if [ -z "$program" ]; then
    cargo build --locked --quiet
    program=${CARGO_TARGET_DIR:-target}/debug/placebench
fi
program=$(realpath "$program")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A suite of the mock engine in which one case is wrong: four comparison groups, for the shards.
wrong=$work/overlay/wrong
mkdir -p "$wrong/models/m"
printf 'schema_version = 1\nengine = "mock"\n' > "$wrong/defaults.toml"
printf '{"num_hidden_layers": 8}' > "$wrong/models/m/config.json"
for name in one two three four; do
    cat > "$wrong/$name.toml" << SCENARIO
schema_version = 1
[model]
path = "models/m"
[[prompt]]
name = "p"
text = "Hello"
[placement.single]
device_map = "cpu"
SCENARIO
done
printf '[expect]\nforbid_devices = ["cpu"]\n' >> "$wrong/three.toml"

check() { # NAME SENTENCE COMMAND...: the command succeeds and says the sentence
    local name=$1 sentence=$2 start=$SECONDS
    shift 2
    local status=0
    # In a condition the shell would go on after a failed command.
    set +e
    (
        set -e
        "$@"
    ) > "$work/log" 2>&1
    status=$?
    set -e
    if [ "$status" -eq 0 ] && grep -q -- "$sentence" "$work/log"; then
        echo "ok      $name ($((SECONDS - start)) s)"
    else
        cat "$work/log"
        echo "FAILED  $name: see above; expected \`$sentence\`"
        exit 1
    fi
}

# A copy of this repository that is a repository.
copy_to() { # FOLDER
    rm -rf "$1"
    mkdir "$1"
    git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- --create | tar --extract --directory "$1"
    git -C "$1" init --quiet --initial-branch=main
}
commit() {
    git add --all
    git -c user.name=check -c user.email=check@example.com commit --quiet --message check
}

# The commands of the page, on the shipped model with one scenario whose texts nobody has approved yet.
page() {
    local copy=$work/page
    awk '/^```/ { inside = ($0 == "```sh"); next } inside' ci/README.md > "$work/page.sh"
    copy_to "$copy"
    cd "$copy"
    rm -r scenarios/*/
    git -C "$OLDPWD" ls-files -z scenarios/models/tiny scenarios/smoke/placements.toml \
        | tar --directory "$OLDPWD" --null --files-from=- --create | tar --extract
    commit
    mkdir "$work/bin"
    ln -s "$program" "$work/bin/placebench"
    env -u CI PATH="$work/bin:$PATH" PLACEBENCH_BIN="$program" bash -euxo pipefail "$work/page.sh"
    echo "the whole page was executed"
}

check_page() {
    grep -q '^placebench run' ci/README.md
    check "page: every command of ci/README.md" 'the whole page was executed' page
}

github() { # OPTIONS...
    "$tools/python" ci/execute_workflow.py ci/templates/github-actions.yml \
        --replace "Build=install -D '$program' target/cuda/release/placebench" "$@"
}

check_github() {
    check "github: the smoke suite passes over four shards" 'gate: Merge and judge: ran,.* exit code 0$' \
        github --env GATE_PATHS=scenarios/smoke --expect shard=success --expect gate=success
    check "github: a wrong case fails the gate, not its shard" 'gate: Merge and judge: ran,.* exit code 100$' \
        github --overlay "$work/overlay" --env GATE_PATHS=wrong --event schedule --expect shard=success --expect gate=failure
    check "github: a fork reaches no shard and fails the gate" 'gate: Every shard has run: ran,.* exit code 1$' \
        github --fork --env GATE_PATHS=wrong --expect build=success --expect shard=skipped --expect gate=failure
    check "github: a push is not taken for a fork" 'shard 4: Run the shard: ran,.* exit code 96$' \
        github --event push --env GATE_PATHS=nowhere --expect shard=failure --expect gate=failure
}

# A repository of its own: the jobs run in copies of it, with the template as .gitlab-ci.yml.
# gitlab-ci-local ends with 0 too where a job failed that may fail with other codes: its table of jobs tells.
gitlab() { # OPTIONS...
    local copy=$work/gitlab
    copy_to "$copy"
    cp -R "$work/overlay/." "$copy"
    # The build is replaced; an image means a container engine.
    "$tools/python" - ci/templates/gitlab-ci.yml "$copy/.gitlab-ci.yml" "$program" << 'PYTHON'
import sys
from ruamel.yaml import YAML

source, target, program = sys.argv[1:]
yaml = YAML()
template = yaml.load(open(source))
build = template["build"]
assert build["script"][0] == "bash ci/build-cuda.sh", build["script"]
build["script"][0] = f"install -D '{program}' target/cuda/release/placebench"
for name in ("before_script", "cache"):
    del build[name]
for job in template.values():
    if isinstance(job, dict):
        job.pop("image", None)
yaml.dump(template, open(target, "w"))
PYTHON
    (
        cd "$copy"
        git remote add origin https://gitlab.example.com/group/project.git
        commit
        node "$PWD/../gitlab-ci-local" --force-shell-executor --no-color --shell-isolation "$@" || echo "ended with $?"
    )
}

check_gitlab() {
    local tool=$PWD/target/ci-lint/gitlab
    if ! cmp --silent ci/lint/gitlab/package-lock.json "$tool/package-lock.json"; then
        rm -rf "$tool"
        mkdir -p "$tool"
        cp ci/lint/gitlab/package.json "$tool"
        cp ci/lint/gitlab/package-lock.json "$tool/package-lock.json.new"
        mv "$tool/package-lock.json.new" "$tool/package-lock.json"
        (cd "$tool" && npm ci --silent --no-audit --no-fund --ignore-scripts) || { rm -rf "$tool" && return 1; }
    fi
    ln -sfn "$tool/node_modules/gitlab-ci-local/src/index.js" "$work/gitlab-ci-local"
    check "gitlab: the smoke suite passes over four shards" '^ PASS  placement gate' \
        gitlab --variable GATE_PATHS=scenarios/smoke
    check "gitlab: a wrong case fails the gate, not its shard" '^ FAIL  placement gate' \
        gitlab --variable GATE_PATHS=wrong
}

for provider in "$@"; do
    case $provider in
    page | github | gitlab) "check_$provider" ;;
    *) echo "check-templates.sh: unknown provider $provider" >&2 && exit 2 ;;
    esac
done
