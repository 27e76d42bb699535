//! The other program: where it is, what it is, and whether it can do what it is asked for.

use std::fmt::Write as _;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use placebench_core::protocol::{ModelSource, PROTOCOL_VERSION, WorkerRequest};
use placebench_core::record::{CaseSpec, Timeouts};
use placebench_runner::cancel::Cancel;
use placebench_runner::run::request_of;
use placebench_runner::supervisor::{WorkerCommand, run_attempt};
use sha2::{Digest, Sha256};

use crate::error::CliError;
use crate::terminal::{self, block, printable};

/// How long a program is given to say who it is.
const PATIENCE_S: f64 = 30.0;

/// A model that is nowhere: an engine says who it is before it looks for one.
const NOWHERE: &str = "/dev/null/no-model";

/// What a program says of itself.
#[derive(Debug)]
pub(super) struct Answer {
    /// Versions of what computes.
    pub(super) version: String,
    /// `debug` or `release`.
    pub(super) profile: String,
}

/// The absolute path of a program. A name without `/` is looked for in `PATH`, and the person is told what was found.
pub(super) fn find(asked: &Path) -> Result<PathBuf, CliError> {
    let refused = |why: String| CliError::setup(format!("--against {}: {why}", asked.display()));
    let is_name = !asked.as_os_str().as_encoded_bytes().contains(&b'/');
    let candidate = if is_name {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .filter(|folder| !folder.as_os_str().is_empty())
            .map(|folder| folder.join(asked))
            .find(|candidate| is_executable(candidate));
        let found = found.ok_or_else(|| {
            refused("no folder of PATH has such a program".to_owned())
                .hint(format!("write ./{} for the one in this folder", asked.display()))
        })?;
        terminal::note(&format!(
            "--against {}: found {}",
            printable(&asked.display().to_string()),
            printable(&found.display().to_string())
        ));
        found
    } else {
        asked.to_owned()
    };
    let path = candidate.canonicalize().map_err(|error| {
        refused(error.to_string())
            .hint("name a placebench program, such as the one of the branch you want to merge into")
    })?;
    if !path.is_file() {
        return Err(refused("this is no file".to_owned()).hint("name the program itself, not its folder"));
    }
    if !is_executable(&path) {
        return Err(refused("this file may not be executed".to_owned()).hint("chmod +x, if it is a program"));
    }
    Ok(path)
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Asks the program for each engine that is wanted of it. `one_of_each` holds a case of each.
pub(super) fn ask(program: &Path, one_of_each: &[&CaseSpec]) -> Result<Answer, CliError> {
    let mut versions: Vec<String> = Vec::new();
    let mut profile = String::new();
    for case in one_of_each {
        let attempt = run_attempt(
            &WorkerCommand::new(program, ["worker"]),
            &patient(case),
            &question(case),
            0,
            None,
            &Cancel::new(),
            &mut |_| {},
        )
        .map_err(|error| CliError::setup(terminal::chain(&error)))?;
        let Some(own) = attempt.profile else {
            let said = attempt.stderr_tail.trim();
            let said = said
                .lines()
                .last()
                .map_or_else(String::new, |line| format!(" ({})", block(line)));
            return Err(CliError::setup(format!(
                "--against {}: as a worker it does not say who it is: {}{said}",
                printable(&program.display().to_string()),
                block(&attempt.outcome.sentence()),
            ))
            .hint(format!(
                "nothing was run; it must be a placebench program that speaks worker protocol {PROTOCOL_VERSION} and has \
                 engine `{}`",
                printable(&case.engine)
            )));
        };
        profile = own;
        let fresh: Vec<String> = attempt
            .versions
            .into_iter()
            .filter(|own| !versions.contains(own))
            .collect();
        versions.extend(fresh);
    }
    Ok(Answer {
        version: versions.join(", "),
        profile,
    })
}

fn patient(case: &CaseSpec) -> CaseSpec {
    CaseSpec {
        timeout: Timeouts {
            load_s: PATIENCE_S,
            first_token_s: PATIENCE_S,
            token_s: PATIENCE_S,
            total_s: PATIENCE_S,
        },
        requires_cuda: 0,
        faults: Vec::new(),
        env: Vec::new(),
        ..case.clone()
    }
}

fn question(case: &CaseSpec) -> WorkerRequest {
    WorkerRequest {
        model: ModelSource::Path(NOWHERE.to_owned()),
        faults: Vec::new(),
        warmup: 0,
        ..request_of(case, 1)
    }
}

/// The SHA-256 of a program's file, in hexadecimal digits.
pub(super) fn sha256(program: &Path) -> Result<String, CliError> {
    let read = || -> std::io::Result<String> {
        let mut file = std::fs::File::open(program)?;
        let mut hash = Sha256::new();
        let mut chunk = vec![0; 1 << 18];
        loop {
            match file.read(&mut chunk)? {
                0 => break,
                read => hash.update(chunk.get(..read).unwrap_or_default()),
            }
        }
        Ok(hash.finalize().iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        }))
    };
    read().map_err(|error| CliError::setup(format!("{}: {error}", program.display())))
}

/// Refuses a program that is another one than when the run began.
pub(super) fn refuse_another(program: &Path, sha256_then: &str) -> Result<(), CliError> {
    if sha256(program)? == sha256_then {
        return Ok(());
    }
    Err(CliError::setup(format!(
        "{} is another program than when the run began",
        printable(&program.display().to_string())
    ))
    .hint("attempts of two programs are no one side of a comparison: begin a new run"))
}
