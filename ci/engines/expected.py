"""Holds a run of the engines beside candle against what is known of their libraries: expected.py RUN-FOLDER NAME.

The scenarios expect outcomes and places. Here is what they cannot say: which words the library failed with, that no case was
skipped for want of a stack, and what the report answers."""

import json
import pathlib
import sys

# Ends of case names, with words of their sentences, the outcome, and the status.
KNOWN = {
    "scenarios": [
        ("automatic-map/rabbit/auto-with-a-budget[engine=transformers]", "completed", "passed", ""),
        ("explicit-single-device/rabbit/cpu[engine=transformers]", "completed", "passed", ""),
        ("inputs-on-another-device/rabbit/inputs-on-meta[engine=transformers]", "failed", "passed", "cannot be called on meta tensors"),
        ("moved-after-dispatch/rabbit/single[engine=transformers]", "completed", "passed", ""),
        ("moved-after-dispatch/rabbit/layers-on-disk[engine=transformers]", "failed", "passed", "You can't move a model that has some modules offloaded"),
        ("tied-head-apart/rabbit/head-on-disk[engine=transformers]", "failed", "passed", "KeyError: 'lm_head.weight'"),
        ("tied-pair-on-disk/rabbit/pair-on-disk-before[engine=transformers,environment=incident]", "failed", "passed", "KeyError: 'cpu'"),
        ("tied-pair-on-disk/rabbit/pair-on-disk-since[engine=transformers,environment=newest]", "completed", "passed", ""),
        ("distributed-configuration/rabbit/two-ranks[engine=transformers]", "completed", "passed", ""),
        ("distributed-configuration/rabbit/second-rank-hangs[engine=transformers]", "stalled", "passed", "rank 1 of 2"),
        ("engines/transformers/she/single[engine=transformers,environment=incident]", "completed", "passed", ""),
        ("engines/transformers/she/single[engine=transformers,environment=newest]", "completed", "passed", ""),
        ("engines/transformers/she/half-on-disk[engine=transformers,environment=newest]", "completed", "passed", ""),
        ("engines/smollm2/capital/single[engine=transformers]", "completed", "passed", ""),
        ("engines/torchrun/she/two-ranks", "completed", "passed", ""),
    ],
    "which-version": [
        ("rabbit/single[environment=incident]", "completed", "passed", ""),
        ("rabbit/single[environment=newest]", "completed", "passed", ""),
        ("rabbit/pair-on-disk[environment=incident]", "failed", "failed", "KeyError: 'cpu'"),
        ("rabbit/pair-on-disk[environment=newest]", "completed", "passed", ""),
    ],
    "llama-server": [
        ("colours/one-thread", "completed", "passed", ""),
        ("colours/two-threads", "completed", "passed", ""),
    ],
    "running-server": [("colours/as-it-runs", "completed", "passed", "")],
}

# Scenarios (the end of their names) and what is to blame.
BLAMED = {
    "scenarios": [
        ("incident/automatic-map", "nothing"),
        ("incident/explicit-single-device", "nothing"),
        ("incident/host-staged-transfers", "machine"),
        ("incident/moved-after-dispatch", "placement"),
        ("incident/tied-head-apart", "library"),
        ("incident/tied-pair-on-disk", "library"),
    ],
    "which-version": [("which-version-mends-it", "library")],
}


def main(folder, name):
    folder = pathlib.Path(folder).resolve()
    verdict = json.loads((folder / "verdict.json").read_text())
    cases = {case["case"]: case for case in verdict["cases"]}
    wrong = []
    for end, outcome, status, words in KNOWN[name]:
        found = [case for known, case in cases.items() if known.endswith(end)]
        if len(found) != 1:
            wrong.append(f"{end}: {len(found)} cases have this name")
            continue
        (case,) = found
        if (case["outcome"], case["status"]) != (outcome, status):
            wrong.append(f"{case['case']}: {case['status']}, {case['outcome']}; expected {status}, {outcome}: {case['sentence']}")
        if words not in case["sentence"]:
            wrong.append(f"{case['case']}: expected `{words}` in: {case['sentence']}")
    for known, case in cases.items():
        if case["status"] == "skipped" and "/gpus-" not in known:
            wrong.append(f"{known} was skipped: {case['sentence']}")
    for scenario, blame in BLAMED.get(name, []):
        answers = [answer for answer in verdict.get("answers", []) if answer["scenario"].endswith(scenario)]
        if [answer["blame"] for answer in answers] != [blame]:
            wrong.append(f"{scenario}: expected {blame} to be blamed, not {answers}")
    for line in wrong:
        print(f"WRONG   {line}")
    if wrong:
        sys.exit(1)
    skipped = sum(case["status"] == "skipped" for case in cases.values())
    print(f"ok      {name}: {len(cases) - skipped} cases as expected, {skipped} for GPUs")


main(*sys.argv[1:])
