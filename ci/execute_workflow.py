"""Executes the `run:` steps of a GitHub Actions workflow on this machine, job after job, with matrix, conditions and outputs.

Not a replacement for GitHub: the known `uses:` steps are played (checkout copies the working tree, artifacts go through a
folder, a cache does nothing), every other one is an error, and so is an expression that is not understood. What this shows is
that the commands of a template exist, fit together, and end as they should.

    execute_workflow.py WORKFLOW --event schedule --overlay DIR --env GATE_PATHS=suite --replace 'Build=cp "$BIN" target/x' \
        --expect gate=failure
"""

import argparse
import fnmatch
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from ruamel.yaml import YAML

TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<operator>&&|\|\||==|!=|!|\(|\)|,)|(?P<name>[A-Za-z_][\w.-]*))")
OPERATORS = {"&&": " and ", "||": " or ", "!": " not "}


class Unknown(Exception):
    """Something this script does not play."""


def evaluate(expression, context, functions):
    """The value of an expression: names, texts, comparisons, and, or, not, and calls of known functions."""
    python, at = [], 0
    while expression[at:].strip():
        match = TOKEN.match(expression, at)
        if not match:
            raise Unknown(f"expression {expression!r} at {expression[at:]!r}")
        at = match.end()
        if match["text"]:
            python.append(repr(match["text"][1:-1].replace("''", "'")))
        elif match["operator"]:
            python.append(OPERATORS.get(match["operator"], match["operator"]))
        elif match["name"] in functions:
            python.append(f"functions[{match['name']!r}]")
        elif match["name"] in ("true", "false"):
            python.append(match["name"].title())
        else:
            python.append(f"look_up({match['name']!r})")

    def look_up(name):
        value = context
        for part in name.split("."):
            if not isinstance(value, dict):
                raise Unknown(f"{name} in {expression!r}")
            # GitHub answers with nothing for an output that was not set; a whole context must be known.
            if part not in value and value is context:
                raise Unknown(f"{name} in {expression!r}")
            value = value.get(part, "")
        return value

    return eval("".join(python), {"__builtins__": {}}, {"look_up": look_up, "functions": functions})


def filled(text, context, functions):
    """A text with its `${{ }}` replaced."""

    def value(match):
        found = evaluate(match[1], context, functions)
        return str(found).lower() if isinstance(found, bool) else str(found)

    return re.sub(r"\$\{\{(.*?)\}\}", value, str(text))


def holds(condition, context, failed):
    """Whether an `if:` holds. Without a function of the status in it, success is asked for too."""
    if condition is None:
        return not failed
    condition = re.sub(r"^\s*\$\{\{(.*)\}\}\s*$", r"\1", str(condition))
    status = {
        "always": lambda: True,
        "success": lambda: not failed,
        "failure": lambda: failed,
        "cancelled": lambda: False,
    }
    answer = bool(evaluate(condition, context, status))
    return answer and (not failed or any(f"{name}(" in condition for name in status))


class Job:
    """One job, or one cell of its matrix."""

    def __init__(self, runner, name, job, context):
        self.runner, self.name, self.job = runner, name, job
        # A step that did not run has no outputs, and asking for them is no mistake.
        named = {step["id"]: {"outputs": {}} for step in job["steps"] if "id" in step}
        self.context = {**context, "steps": named}
        self.functions = {"hashFiles": lambda *names: "hash-of-" + "-".join(map(os.path.basename, names))}
        self.workspace = pathlib.Path(tempfile.mkdtemp(prefix=f"{name.replace(' ', '-')}.", dir=runner.work))

    def run(self):
        failed = False
        for number, step in enumerate(self.job["steps"], start=1):
            name = step.get("name") or step.get("uses", "").split("@")[0] or f"step {number}"
            if not holds(step.get("if"), self.context, failed):
                print(f"-- {self.name}: {name}: skipped")
                continue
            code, how = self.use(step) if "uses" in step else self.command(name, step, number)
            print(f"-- {self.name}: {name}: {how}", flush=True)
            failed = failed or code != 0
        return "failure" if failed else "success"

    def use(self, step):
        action = step["uses"].split("@")[0]
        given = {key: filled(value, self.context, self.functions) for key, value in (step.get("with") or {}).items()}
        play = {
            "actions/checkout": self.checkout,
            "actions/cache": lambda given: None,
            "actions/upload-artifact": self.upload,
            "actions/download-artifact": self.download,
        }.get(action)
        if play is None:
            raise Unknown(f"action {action}")
        problem = play(given)
        return (1, f"failed: {problem}") if problem else (0, "played")

    def checkout(self, _given):
        files = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=self.runner.repository, check=True, stdout=subprocess.PIPE,
        ).stdout.split(b"\0")
        for file in filter(None, files):
            source, target = self.runner.repository / os.fsdecode(file), self.workspace / os.fsdecode(file)
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        if self.runner.overlay:
            shutil.copytree(self.runner.overlay, self.workspace, dirs_exist_ok=True)

    def upload(self, given):
        source, target = self.workspace / given["path"], self.runner.artifacts / given["name"]
        if target.exists() and given.get("overwrite") != "true":
            return f"an artifact {given['name']} exists"
        shutil.rmtree(target, ignore_errors=True)
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.is_file():
            target.mkdir(parents=True)
            shutil.copy(source, target)
        elif given.get("if-no-files-found") == "error":
            return f"nothing at {given['path']}"
        return None

    def download(self, given):
        pattern = given.get("pattern")
        names = [entry.name for entry in self.runner.artifacts.iterdir()]
        wanted = [name for name in names if fnmatch.fnmatch(name, pattern or given["name"])]
        if not wanted and not pattern:
            return f"no artifact {given['name']}"
        for name in wanted:
            target = self.workspace / given["path"]
            shutil.copytree(self.runner.artifacts / name, target / name if pattern else target, dirs_exist_ok=True)
            for file in target.rglob("*"):
                if file.is_file():
                    file.chmod(0o644)  # as artifacts come: without the right to execute
        return None

    def command(self, name, step, number):
        script = self.runner.replaced.get(name)
        how = "replaced" if script else "ran"
        script = script or filled(step["run"], self.context, self.functions)
        if "${{" in step["run"]:
            raise Unknown(f"step {name} puts an expression into a script: hand it over as a variable")
        outputs, summary = (self.runner.work / f"{self.workspace.name}.{number}.{what}" for what in ("outputs", "summary"))
        outputs.touch()
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
        environment.update(CI="true", GITHUB_ACTIONS="true", GITHUB_WORKSPACE=str(self.workspace))
        environment.update(GITHUB_OUTPUT=str(outputs), GITHUB_STEP_SUMMARY=str(summary), RUNNER_OS="Linux")
        for layer in (self.runner.workflow.get("env"), self.job.get("env"), step.get("env")):
            values = {key: filled(value, self.context, self.functions) for key, value in (layer or {}).items()}
            environment.update(values, **{key: self.runner.env[key] for key in values if key in self.runner.env})
        done = subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
                              cwd=self.workspace, env=environment, stdin=subprocess.DEVNULL, check=False)
        if "id" in step:
            lines = [line.split("=", 1) for line in outputs.read_text().splitlines()]
            self.context["steps"][step["id"]] = {"outputs": dict(lines)}
        if summary.exists():
            how += f", summary of {summary.stat().st_size} bytes"
        return done.returncode, f"{how}, exit code {done.returncode}"


class Runner:
    """The whole workflow."""

    def __init__(self, arguments, work):
        self.workflow = YAML(typ="safe").load(pathlib.Path(arguments.workflow))
        self.repository = pathlib.Path(__file__).resolve().parent.parent
        self.overlay = arguments.overlay
        self.env = dict(pair.split("=", 1) for pair in arguments.env)
        self.replaced = dict(pair.split("=", 1) for pair in arguments.replace)
        self.work, self.artifacts = work, work / "artifacts"
        self.artifacts.mkdir()
        fork = {"head": {"repo": {"full_name": "somebody/fork" if arguments.fork else "owner/repository"}}}
        github = {"event_name": arguments.event, "repository": "owner/repository", "event": {"pull_request": fork}}
        self.context = {"github": github, "runner": {"os": "Linux"}}

    def run(self):
        results = {}
        for key, job in self.workflow["jobs"].items():
            needed = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
            context = {**self.context, "needs": {name: {"result": results[name]} for name in needed}}
            failed = any(results[name] != "success" for name in needed)
            if not holds(job.get("if"), context, failed):
                results[key] = "skipped"
                continue
            axes = (job.get("strategy") or {}).get("matrix") or {}
            cells = [dict(zip(axes, values)) for values in itertools.product(*axes.values())]
            ends = []
            for cell in cells:
                in_cell = {**context, "matrix": cell}
                name = " ".join([key, *map(str, cell.values())])
                ends.append(Job(self, name, job, in_cell).run())
            results[key] = "success" if set(ends) == {"success"} else "failure"
        return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("workflow")
    parser.add_argument("--event", default="pull_request")
    parser.add_argument("--fork", action="store_true", help="the pull request comes from a fork")
    parser.add_argument("--overlay", help="folder that is laid over every checkout")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="instead of the workflow's own value")
    parser.add_argument("--replace", action="append", default=[], metavar="STEP=SCRIPT", help="instead of a step's own script")
    parser.add_argument("--expect", action="append", default=[], metavar="JOB=RESULT")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="workflow.") as work:
        try:
            results = Runner(arguments, pathlib.Path(work)).run()
        except Unknown as problem:
            sys.exit(f"{arguments.workflow}: cannot be executed here: {problem}")
    print("-- " + ", ".join(f"{job}: {result}" for job, result in results.items()))
    wrong = [pair for pair in arguments.expect if results.get(pair.split("=")[0]) != pair.split("=")[1]]
    if wrong:
        sys.exit(f"{arguments.workflow}: expected {', '.join(wrong)}")


if __name__ == "__main__":
    main()
