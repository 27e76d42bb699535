//! What a step of GitHub Actions is told: annotations on standard output, and the summary in the file for it.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

use placebench_report::format::github::{Annotation, command, summary};

use crate::error::CliError;
use crate::terminal;

/// The file that takes the summary of the step.
const SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// The folder that the repository lies in.
const WORKSPACE: &str = "GITHUB_WORKSPACE";

/// Prints the annotations, and adds the summary to its file. `summary` makes one of at most so many bytes: what other
/// commands of the step have written counts too.
pub(crate) fn show(annotations: &[Annotation], summary: impl FnOnce(usize) -> String) -> Result<(), CliError> {
    for line in command::lines(annotations) {
        terminal::out(&line);
    }
    let Some(path) = set(SUMMARY) else {
        terminal::note(&format!(
            "{SUMMARY} names no file, so the summary is not written: --format github-summary or markdown prints it"
        ));
        return Ok(());
    };
    add(Path::new(&path), summary)
}

fn add(path: &Path, summary: impl FnOnce(usize) -> String) -> Result<(), CliError> {
    let cannot = |error: std::io::Error| CliError::setup(format!("{SUMMARY} {}: {error}", path.display()));
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(cannot)?;
    let taken = file.metadata().map_err(cannot)?.len();
    let taken = usize::try_from(taken).unwrap_or(usize::MAX);
    let text = summary(summary::MOST_BYTES.saturating_sub(taken));
    file.write_all(text.as_bytes()).map_err(cannot)
}

fn set(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Finds files of scenarios in the repository: below the workspace of the job, else below the current folder.
pub(crate) fn locate() -> Result<impl Fn(&str) -> Option<String>, CliError> {
    let here = std::env::current_dir()
        .map_err(|error| CliError::setup(format!("the current folder cannot be found: {error}")))?;
    let root = set(WORKSPACE).map_or_else(|| here.clone(), PathBuf::from);
    // The two may name one folder in two ways.
    let real = |path: PathBuf| path.canonicalize().unwrap_or(path);
    let (here, root) = (real(here), real(root));
    Ok(move |file: &str| in_repository(&root, &here, file))
}

/// The path of a file from `root`, with `/`. Nothing for one that lies elsewhere: a run of another machine, or of another
/// checkout.
fn in_repository(root: &Path, here: &Path, file: &str) -> Option<String> {
    let mut absolute = PathBuf::new();
    for part in here.join(file).components() {
        match part {
            Component::ParentDir => drop(absolute.pop()),
            Component::CurDir => {}
            other => absolute.push(other),
        }
    }
    let inside = absolute.strip_prefix(root).ok()?;
    let parts: Vec<_> = inside
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_from_the_root_of_the_repository() {
        let (root, here) = (Path::new("/work/repo"), Path::new("/work/repo/bench"));
        let found = |file| in_repository(root, here, file);
        assert_eq!(found("scenarios/a.toml").as_deref(), Some("bench/scenarios/a.toml"));
        assert_eq!(found("./x/../a.toml").as_deref(), Some("bench/a.toml"));
        assert_eq!(found("../a.toml").as_deref(), Some("a.toml"));
        assert_eq!(found("/work/repo/a.toml").as_deref(), Some("a.toml"));
        assert_eq!(found("/elsewhere/a.toml"), None);
        assert_eq!(found("../../a.toml"), None);
        assert_eq!(found("../../../../../etc/passwd"), None);
        assert_eq!(found(".."), None);
    }

    #[test]
    fn a_summary_is_added_within_what_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.md");
        add(&path, |most| format!("{most}\n")).unwrap();
        add(&path, |most| format!("{most}\n")).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "1048576\n1048568\n");
        let error = add(&folder.path().join("no/such"), |_| String::new()).err().unwrap();
        assert!(format!("{error:?}").contains("GITHUB_STEP_SUMMARY"));
    }
}
