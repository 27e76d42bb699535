//! A folder of its own for every test, and the binary in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use placebench_core::record::{Attempt, CaseVerdict, RunVerdict};
use tempfile::TempDir;

/// A suite in a temporary folder.
pub(crate) struct TestEnv {
    root: TempDir,
}

/// What the binary did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl TestEnv {
    /// A suite with a mock model of eight layers.
    pub(crate) fn new() -> Self {
        let env = Self {
            root: tempfile::tempdir().unwrap(),
        };
        env.write("suite/defaults.toml", "schema_version = 1\nengine = \"mock\"\n");
        env.write("suite/models/m/config.json", "{\"num_hidden_layers\": 8}");
        env
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// A scenario with three logical devices of 1 MiB, the given placements and whatever else.
    pub(crate) fn scenario(&self, name: &str, rest: &str) {
        let head = r#"schema_version = 1
[model]
path = "models/m"
[devices]
"sim:0" = { on = "cpu", memory = "1MiB" }
"sim:1" = { on = "cpu", memory = "1MiB" }
"sim:2" = { on = "cpu", memory = "1MiB" }
[[prompt]]
name = "p"
text = "Hello"
[generation]
max_new_tokens = 12
"#;
        self.write(&format!("suite/{name}.toml"), &format!("{head}{rest}"));
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_placebench"));
        command
            .args(args)
            .current_dir(self.root.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.root.path())
            // Runs of other tests hold no locks here.
            .env("XDG_RUNTIME_DIR", self.root.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    /// Runs the suite and reads back what it left.
    pub(crate) fn run_suite(&self) -> (Ran, RunVerdict) {
        let ran = self.run(&["run", "suite"]);
        let verdict = self.verdict();
        assert_eq!(ran.code, Some(i32::from(verdict.exit_code)), "{ran:?}");
        (ran, verdict)
    }

    pub(crate) fn latest(&self) -> PathBuf {
        self.path("reports/latest").canonicalize().unwrap()
    }

    pub(crate) fn verdict(&self) -> RunVerdict {
        let text = std::fs::read_to_string(self.latest().join("verdict.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        read_attempts(&self.latest())
    }
}

/// The attempts on record in the folder of a run.
pub(crate) fn read_attempts(folder: &Path) -> Vec<Attempt> {
    let text = std::fs::read_to_string(folder.join("attempts.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The verdict on `scenario/p/placement`.
pub(crate) fn of<'a>(verdict: &'a RunVerdict, case: &str) -> &'a CaseVerdict {
    verdict.cases.iter().find(|judged| judged.case == case).unwrap()
}

/// Names of the checks a case failed.
pub(crate) fn failed_checks(judged: &CaseVerdict) -> Vec<&str> {
    judged.findings.iter().map(|finding| finding.check.as_str()).collect()
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
