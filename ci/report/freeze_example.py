"""Makes the record of a run of `reports/example/suite` the committed example: nothing of the machine but what its figures need.

    placebench run reports/example/suite --output-dir /tmp/example
    python3 ci/report/freeze_example.py /tmp/example/latest
    UPDATE_EXAMPLE=1 cargo test -p placebench-report --test example

Figures, texts, places and stacks stay as they were measured. Folders of the machine become `/home/user/placebench`, its environment the two
variables that matter, and its kernel is named without what its builder added.
"""

import json
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HOME = "/home/user"
CHECKOUT = f"{HOME}/placebench"
# Folders that say nothing about whose machine it was.
ANYONES = ("/usr/", "/lib", "/bin/", "/proc/", "/sys/", "/dev/", "/rustc/", CHECKOUT)
KEPT_VARIABLES = ("LANG", "RAYON_NUM_THREADS")


def neutral_text(text: str, folders: list[tuple[str, str]]) -> str:
    for folder, instead in folders:
        text = text.replace(folder, instead)
    return text


def neutral(value: object, folders: list[tuple[str, str]]) -> object:
    if isinstance(value, str):
        return neutral_text(value, folders)
    if isinstance(value, list):
        return [neutral(item, folders) for item in value]
    if isinstance(value, dict):
        return {neutral_text(key, folders): neutral(item, folders) for key, item in value.items()}
    return value


def folders_of(info: dict, attempts: list[dict]) -> list[tuple[str, str]]:
    """What to write instead of each folder of the machine, the longest first."""
    found = {str(REPOSITORY): CHECKOUT}
    for argument, following in zip(info["arguments"], info["arguments"][1:]):
        if argument == "--output-dir":
            found[following] = "reports"
    # A binary that was built elsewhere names the folder it was built in, in the stacks of its threads.
    sources = re.findall(r'"(/[^"]*?)/harness/[a-z-]+/src/', json.dumps(attempts))
    found.update((folder, CHECKOUT) for folder in sources)
    programs = re.findall(r'"(/[^"]*?)/target/(?:debug|release)/placebench', json.dumps(attempts))
    found.update((folder, CHECKOUT) for folder in programs)
    return sorted(found.items(), key=lambda pair: -len(pair[0]))


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    run = Path(sys.argv[1])
    info = json.loads((run / "run.json").read_text())
    attempts = [json.loads(line) for line in (run / "attempts.jsonl").read_text().splitlines()]
    verdict = json.loads((run / "verdict.json").read_text())
    folders = folders_of(info, attempts)
    environment = info["environment"]
    environment["worker_env"] = [pair for pair in environment["worker_env"] if pair[0] in KEPT_VARIABLES]
    environment["kernel"] = re.match(r"[0-9.]+", environment["kernel"]).group()
    info, attempts, verdict = (neutral(part, folders) for part in (info, attempts, verdict))
    texts = {
        "run.json": json.dumps(info, indent=2, ensure_ascii=False) + "\n",
        "attempts.jsonl": "".join(json.dumps(attempt, ensure_ascii=False, separators=(",", ":")) + "\n" for attempt in attempts),
        "verdict.json": json.dumps(verdict, indent=2, ensure_ascii=False) + "\n",
    }
    for name, text in texts.items():
        # `/a/b` anywhere at the start of a string is a path; what is not anyone's is left to a person to decide.
        foreign = {path for path in re.findall(r'"(/[\w.-]+/[^"\s]*)', text) if not path.startswith(ANYONES)}
        if foreign:
            sys.exit(f"{name} still names folders of this machine: {sorted(foreign)}")
        (REPOSITORY / "reports/example" / name).write_text(text)
        print(f"{name}: {len(text)} bytes")


main()
