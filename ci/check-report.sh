#!/usr/bin/env bash
# Looks at the program's pages as people do: validates them, and opens them in Chromium at every width, in both schemes, on paper,
# without script, with attacks in every text. First it breaks a page in thirty ways and sees that each is found.
#   bash ci/check-report.sh                          the pages of the committed runs
#   bash ci/check-report.sh --run NAME=FOLDER        and of another run
#   bash ci/check-report.sh --page FILE.html         of this page only; --only NAME: of that page (or self-test) only
# PLACEBENCH names the program, CHROMIUM the browser. Needs Node.js 20 with npm, Chromium and Java 11; the rest is installed below target/,
# and pictures of what was seen are kept there.
set -euo pipefail
cd "$(dirname "$0")/.."
has_chromium() { [ -n "${CHROMIUM:-}" ] || command -v chromium chromium-browser google-chrome google-chrome-stable > /dev/null; }
missing=()
has_chromium || missing+=(chromium)
command -v java > /dev/null || missing+=(default-jre-headless)
if [ "${#missing[@]}" -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update && apt-get install --yes --no-install-recommends "${missing[@]}" fonts-dejavu-core; } > /dev/null 2>&1 || true
fi
for tool in node npm java; do
    command -v "$tool" > /dev/null || { echo "check-report.sh: $tool is missing" >&2; exit 2; }
done
has_chromium || { echo "check-report.sh: chromium is missing; CHROMIUM may name a browser that is" >&2; exit 2; }
binary=${PLACEBENCH:-}
if [ -z "$binary" ]; then
    cargo build --locked --quiet
    binary=${CARGO_TARGET_DIR:-target}/debug/placebench
fi
out=$PWD/target/check-report
tools=$out/tools
# Only a complete installation gets the mark, so that a broken download is repeated.
mark=$tools/.complete-$(sha256sum < ci/report/package-lock.json | cut -c1-16)
if [ ! -e "$mark" ]; then
    rm -rf "$tools"
    mkdir -p "$tools"
    cp ci/report/package.json ci/report/package-lock.json "$tools"
    (cd "$tools" && npm ci --ignore-scripts --no-audit --no-fund --silent)
    touch "$mark"
fi
node ci/report/check.mjs --tools "$tools" --out "$out" --repository . --binary "$binary" "$@"
