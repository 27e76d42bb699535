#!/usr/bin/env bash
# The README's main command on the shipped scenarios, then what it left behind: the exit code, the verdict file that
# repeats it, and the pictures. At last what the smoke suite counts, held against the baseline that holds on every machine;
# where that changed on purpose: cargo run -- run scenarios/smoke --save-baseline smoke --counters-only
set -euo pipefail
cd "$(dirname "$0")/.."
status=0
cargo run --locked --quiet -- run scenarios/ || status=$?
python3 - "$status" <<'PYTHON'
import csv, json, pathlib, sys
run = pathlib.Path("reports/latest").resolve()
verdict = json.load(open(run / "verdict.json"))
assert verdict["exit_code"] == int(sys.argv[1]), (verdict["exit_code"], sys.argv[1])
attempts = [json.loads(line) for line in open(run / "attempts.jsonl")]
cases = json.load(open(run / "run.json"))["cases"]
rows = list(csv.DictReader(open(run / "results.csv")))
assert len(rows) == len(cases) == len(verdict["cases"]), (len(rows), len(cases), len(verdict["cases"]))
for name in ["report.html", "junit.xml"]:
    assert (run / name).stat().st_size > 1000, name
assert list(run.glob("plots/*.png")), "no plots"
print(f"{len(cases)} cases, {len(attempts)} attempts, exit code {verdict['exit_code']}")
PYTHON
cargo run --locked --quiet -- run scenarios/smoke --baseline smoke --quiet || status=$?
exit "$status"
