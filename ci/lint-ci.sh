#!/usr/bin/env bash
# Lints what lies in ci/: shell scripts, workflow templates (for mistakes and for security), the container file, and links and
# paths in ci/README.md. Needs Python 3.11 and PyPI once; the linters and their versions are in ci/lint/requirements.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
source ci/lint/tools.sh
failed=()
lint() { # NAME COMMAND...
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        echo "ok      $name"
    else
        failed+=("$name")
        printf 'FAILED  %s\n%s\n' "$name" "$output"
    fi
}
mapfile -t scripts < <(git ls-files --cached --others --exclude-standard 'ci/*.sh' '*/sh/*' .ci/run)
lint "shellcheck (${#scripts[@]} scripts)" "$tools/shellcheck" --external-sources "${scripts[@]}"
# A newer release of the original where there is one; it finds shellcheck on PATH.
actionlint=$(command -v actionlint || echo "$tools/actionlint")
lint "actionlint" env PATH="$tools:$PATH" "$actionlint" -no-color -config-file ci/lint/actionlint.yaml \
    ci/templates/github-actions.yml
lint "zizmor" "$tools/zizmor" --offline --no-progress --persona=auditor ci/templates/github-actions.yml
lint "schema of GitHub workflows" "$tools/check-jsonschema" --builtin-schema vendor.github-workflows \
    ci/templates/github-actions.yml
lint "schema of GitLab CI" "$tools/check-jsonschema" --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci \
    ci/templates/gitlab-ci.yml
lint "hadolint" "$tools/hadolint" --config ci/lint/hadolint.yaml ci/container/Containerfile.cuda
lint "container file: what it copies and runs is there" bash ci/container/check-sources.sh
if [ "${#failed[@]}" -gt 0 ]; then
    printf 'ci/lint-ci.sh: %s failed\n' "${#failed[@]}" >&2
    exit 1
fi
