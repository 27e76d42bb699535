"""Runs placebench, and hands each format to its reader. Started by ci/check-formats.sh; prints one line a format."""

import argparse
import csv
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

import cmarkgfm
import html5lib
import jsonschema
import junitparser
import xmlschema

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Cases that go wrong: what the shipped suites, which are as they should be, do not show. Texts are hostile, and so is the name of the file.
BROKEN = r"""schema_version = 1
engine = "mock"
description = "]]> <b> \u0007 ::error::x"
[model]
path = "models/m"
[devices]
"sim:0" = { on = "cpu", memory = "1MiB" }
"sim:1" = { on = "cpu", memory = "1MiB" }
[[prompt]]
name = "p"
text = "Hello\u202e"
[generation]
max_new_tokens = 12
[timeout]
token = "300ms"
[placement.good]
device_map = "sim:0"
[placement.auto]
device_map = "auto"
max_memory = { "sim:0" = "300KiB", "sim:1" = "1MiB" }
[placement.wrong]
device_map = "sim:1"
[placement.wrong.expect]
contains = ["no\nsuch ##[error] text ::stop-commands::x"]
[placement.pending]
device_map = "sim:1"
[placement.pending.expect]
snapshot = true
[placement.stalls]
device_map = "sim:0"
[[fault]]
kind = "stall"
at = { token = 2 }
placements = ["stalls"]
"""

# https://bencher.dev/docs/reference/bencher-metric-format, with what is not named there forbidden.
BENCHER = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    # `bencher_valid`: a name has 1 to 1024 bytes.
    "propertyNames": {"minLength": 1, "maxLength": 1024},
    "additionalProperties": {
        "type": "object",
        # A slug.
        "propertyNames": {"pattern": "^[a-z0-9]+(-[a-z0-9]+)*$", "maxLength": 64},
        "additionalProperties": {
            "type": "object",
            "properties": {key: {"type": "number"} for key in ("value", "lower_value", "upper_value")},
            "required": ["value"],
            "additionalProperties": False,
        },
    },
}

# `BenchmarkResult` of benchmark-action/github-action-benchmark (src/extract.ts), and the range that src/extractRangeInfo.ts
# reads. The action is in no registry of packages, so that its own code cannot be asked here.
BENCHMARKS = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "pattern": "^[^`|\\n]+$"},
            "unit": {"type": "string", "minLength": 1},
            "value": {"type": "number"},
            "range": {"type": "string", "pattern": r"^(\+-|±)\s*\d+(\.\d+)?$"},
            "extra": {"type": "string"},
        },
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
    },
}


class Check:
    def __init__(self, binary, readers, folder):
        self.binary, self.readers, self.folder = binary, readers, folder
        self.summary = folder / "summary.md"

    def placebench(self, *arguments, codes=(0,), **variables):
        environment = {**os.environ, "NO_COLOR": "1", "GITHUB_WORKSPACE": str(ROOT), **variables}
        environment.pop("CI", None)
        ran = subprocess.run(
            [self.binary, *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        if ran.returncode not in codes:
            last = [line[:500] for line in ran.stdout.splitlines()[-5:]]
            command = " ".join(map(str, arguments))
            sys.exit("\n".join([f"placebench {command}: exit code {ran.returncode}", *last, ran.stderr]))
        return ran.stdout

    def schema(self, name):
        schema = json.loads(self.placebench("schema", name))
        jsonschema.Draft202012Validator.check_schema(schema)
        return jsonschema.Draft202012Validator(schema)

    def run(self, name, *arguments, codes=(0,)):
        """A run, and its stream held against the schema."""
        stream = self.placebench(
            "run", *arguments, "--output-dir", self.folder / name, "--message-format", "ndjson", codes=codes
        )
        validator = self.schema("--events")
        lines = [json.loads(line) for line in stream.splitlines()]
        for line in lines:
            validator.validate(line)
        assert lines[0]["type"] == "run-started" and lines[0]["format_version"] == 1, lines[0]
        assert lines[-1]["type"] == "run-finished", lines[-1]
        return (self.folder / name / "latest").resolve(), len(lines)

    def report(self, run, form, **variables):
        return self.placebench("report", run, "--format", form, **variables)


def verdict(check, run):
    document = json.loads((run / "verdict.json").read_text())
    check.schema("--verdict").validate(document)
    return document


def junit(check, run, cases):
    text = check.report(run, "junit")
    assert text.strip() == (run / "junit.xml").read_text().strip()
    tree = ElementTree.fromstring(text)
    # What no schema of JUnit has, but many writers write (FORMATS.md): it is set aside, and nothing else is.
    for name in ("timestamp", "skipped"):
        tree.attrib.pop(name, None)
    properties = 0
    for case in tree.iter("testcase"):
        case.attrib.pop("file"), case.attrib.pop("line")
        for child in case.findall("properties"):
            properties += len(child)
            case.remove(child)
    xmlschema.XMLSchema(str(check.readers / "junit-10.xsd")).validate(ElementTree.tostring(tree, encoding="unicode"))
    suites = junitparser.JUnitXml.fromstring(text.encode())
    read = [case for suite in suites for case in suite]
    assert len(read) == cases == suites.tests, (len(read), suites.tests, cases)
    assert sum(len(case.result) > 0 for case in read) == suites.failures + suites.errors + suites.skipped
    assert properties > cases
    return len(read), properties


def table(check, run, cases):
    text = check.report(run, "csv")
    assert text.strip() == (run / "results.csv").read_text().strip()
    rows = list(csv.DictReader(io.StringIO(text), strict=True))
    assert len(rows) == cases
    for row in rows:
        assert None not in row and None not in row.values(), row
        for column, value in row.items():
            if value and column.endswith("_s") or column == "samples":
                float(value)


def markup(text):
    """What GitHub makes of Markdown: the names of the elements, and the texts of table rows."""
    page = cmarkgfm.github_flavored_markdown_to_html(text, cmarkgfm.cmark.Options.CMARK_OPT_UNSAFE)
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    tree = parser.parseFragment(page)
    names = {element.tag for element in tree.iter() if isinstance(element.tag, str)}
    return names, tree


KNOWN = {"DOCUMENT_FRAGMENT", "h2", "p", "strong", "em", "table", "thead", "tbody", "tr", "th", "td", "details"}
KNOWN |= {"summary", "ul", "li", "pre", "code"}


def markdown(text, rows):
    names, tree = markup(text)
    assert names <= KNOWN, names - KNOWN
    assert "table" in names
    for part in tree.iter("table"):
        width = len(part.findall("thead/tr/th"))
        assert all(len(row) == width for row in part.findall("tbody/tr"))
    # Every case has a row once, in one table of all or in one for each prompt.
    heads = {part: [head.text for head in part.iterfind("thead/tr/th")] for part in tree.iter("table")}
    shown = [len(part.findall("tbody/tr")) for part, head in heads.items() if "TTFT" in head]
    assert rows is None or rows == sum(shown), (shown, rows, list(heads.values()))


def annotations(check, text):
    ran = subprocess.run(
        ["node", "annotations.mjs"], cwd=check.readers, input=text, capture_output=True, text=True, check=False
    )
    if ran.returncode != 0:
        sys.exit(f"annotations:\n{ran.stderr}")
    for path in set(re.findall(r"file=([^,:]+)", text)):
        known = path.replace("%2C", ",").replace("%3A", ":").replace("%25", "%")
        assert (ROOT / known).is_file(), known
    return ran.stdout.strip()


def step_summary(check, run, cases):
    printed = check.report(run, "github-summary")
    check.summary.unlink(missing_ok=True)
    commands = check.report(run, "github", GITHUB_STEP_SUMMARY=str(check.summary))
    written = check.summary.read_text()
    assert written.strip() == printed.strip()
    assert len(written.encode()) <= 1024 * 1024
    markdown(written, cases)
    return commands, len(written.encode())


def figures(check, run):
    bencher = json.loads(check.report(run, "bencher"))
    jsonschema.Draft7Validator(BENCHER).validate(bencher)
    assert all(len(name.encode()) <= 1024 for name in bencher)
    lists = [json.loads(check.report(run, form)) for form in ("github-benchmark", "github-benchmark-bigger")]
    for entries in lists:
        jsonschema.Draft202012Validator(BENCHMARKS).validate(entries)
    names = [entry["name"] for entries in lists for entry in entries]
    assert len(names) == len(set(names)) == sum(map(len, bencher.values()))
    return len(bencher), sum(map(len, bencher.values())), [len(entries) for entries in lists]


def page(check, folder, *arguments, codes):
    """A page that is no report; its size in bytes."""
    file = folder / "page.html"
    file.unlink(missing_ok=True)
    check.placebench(*arguments, "--format", "html", "--output", file, codes=codes)
    text = file.read_text()
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)
    assert tree.find(".//h1") is not None and len(tree.findall(".//script")) == 1
    return len(text.encode())


def history(check, folder, *runs):
    """The command that tells of runs over time."""
    database = folder / "history.sqlite"
    check.placebench("history", "import", *runs, "--database", database)
    return "history", "trend", "--database", database


def held_against(check, run, comparison):
    """A copy of a run with the answer of a comparison, as if it had been held against a baseline."""
    copy = check.folder / "gated"
    shutil.copytree(run, copy)
    document = json.loads((copy / "verdict.json").read_text())
    document["gate"] = {
        "base": {"kind": "baseline", "name": "main", "file": "ci/baselines/main/0.json"},
        "comparison": comparison["comparison"],
        "notes": ["a part of the machine differs"],
        "exit": comparison["exit"],
        "exit_code": comparison["exit_code"],
    }
    check.schema("--verdict").validate(document)
    (copy / "verdict.json").write_text(json.dumps(document))
    # Files are made again with it.
    check.placebench("report", copy)
    return copy


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--readers", type=pathlib.Path, required=True)
    options = parser.parse_args()
    # Below the repository, as a suite of it, so that its files have a place there.
    (ROOT / "target").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="formats-", dir=ROOT / "target") as name:
        folder = pathlib.Path(name)
        check = Check(str(pathlib.Path(options.binary).resolve()), options.readers, folder)
        suite = folder / "suite"
        (suite / "models/m").mkdir(parents=True)
        (suite / "models/m/config.json").write_text('{"num_hidden_layers": 8}')
        (suite / "broken, 100%.toml").write_text(BROKEN)
        shipped, lines = check.run("shipped", "scenarios/smoke", "scenarios/faults")
        broken, more = check.run("broken", suite, "--retries", 1, codes=(100,))
        again, _ = check.run("again", suite, codes=(100,))
        print(f"event stream: {lines + more} lines valid by `schema --events`")
        compare = ("compare", broken, again, "--all")
        comparison = json.loads(check.placebench(*compare, "--format", "json", codes=(100, 112)))
        gated = held_against(check, again, comparison)
        runs = [shipped, broken, gated]
        cases = [len(verdict(check, run)["cases"]) for run in runs]
        print(f"verdict.json: {len(runs)} runs with {sum(cases)} cases valid by `schema --verdict`, one held against a baseline")
        made = [junit(check, run, count) for run, count in zip(runs, cases)]
        print(f"junit: {sum(n for n, _ in made)} cases valid by junit-10.xsd but for {sum(p for _, p in made)} properties; "
              "read by junitparser")
        for run, count in zip(runs, cases):
            table(check, run, count)
        print(f"csv: {sum(cases)} rows read")
        summaries = [step_summary(check, run, count) for run, count in zip(runs, cases)]
        print(f"step summary: {sum(size for _, size in summaries)} bytes read by cmark-gfm")
        commands = [annotations(check, text) for text, _ in summaries]
        print(f"annotations: as GitHub's toolkit writes them: {'; '.join(commands)}")
        compared = check.placebench(
            *compare, "--format", "github", codes=(100, 112), GITHUB_STEP_SUMMARY=str(folder / "compare.md")
        )
        print(f"compare --format github: {annotations(check, compared)}")
        markdown((folder / "compare.md").read_text(), None)
        for run, count in zip(runs, cases):
            markdown(check.report(run, "markdown"), count)
        markdown(check.placebench(*compare, "--format", "markdown", codes=(100, 112)), None)
        print("markdown: read by cmark-gfm")
        benchmarks, measures, lists = figures(check, shipped)
        print(f"bencher: {measures} figures of {benchmarks} benchmarks valid by the published schema")
        print(f"github-benchmark: {lists[0]} smaller and {lists[1]} bigger, with the action's keys and types")
        figures(check, broken)
        for run in runs:
            html5lib.HTMLParser(strict=True).parse((run / "report.html").read_text())
        sizes = [page(check, folder, *arguments, codes=codes) for arguments, codes in (
            (compare, (100, 112)),
            (("compare", broken, again), (100, 112)),
            (("compare", shipped, "--placements"), (0, 100, 112)),
            (history(check, folder, broken, again, shipped), (0,)),
        )]
        print(f"html: {len(runs)} reports, 3 comparisons and a trend read by html5lib in strict mode; the pages that are "
              f"no reports have {min(sizes)} to {max(sizes)} bytes")


main()
