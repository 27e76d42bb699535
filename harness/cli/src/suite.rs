//! From paths on the command line to scenarios.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use placebench_core::exit_code::ExitCode;
use placebench_core::record::CaseSpec;
use placebench_core::scenario::expand::expand;
use placebench_core::scenario::file::DefaultsFile;
use placebench_core::scenario::parse::{parse, parse_defaults};
use placebench_core::scenario::resolve::{Origin, check_defaults, resolve};
use placebench_core::scenario::{Problem, Scenario};

use crate::diagnostics::{self, FileProblems};
use crate::error::CliError;

/// The file that holds a suite's defaults and marks its folder.
const DEFAULTS: &str = "defaults.toml";

/// The folder of a suite that holds its snapshots.
pub(crate) const SNAPSHOTS: &str = "snapshots";

/// Folders of a suite that hold no scenarios.
const NOT_SCENARIOS: [&str; 2] = ["models", SNAPSHOTS];

/// A scenario file that was found, with the folder of its suite.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    /// As people know it.
    shown: PathBuf,
    /// Absolute.
    absolute: PathBuf,
    /// Absolute folder of the suite.
    suite: PathBuf,
}

/// Reads all scenarios below the paths. All problems of all files are shown before this fails.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Vec<Scenario>, CliError> {
    let mut found = Vec::new();
    for path in paths {
        find(path, &mut found)?;
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|file| seen.insert(file.absolute.clone()));
    let mut suites = Suites::default();
    let mut scenarios = Vec::new();
    let mut broken = Vec::new();
    for file in &found {
        match read(file, &mut suites) {
            Ok(scenario) => scenarios.push(scenario),
            Err(problems) => broken.push(problems),
        }
    }
    let mut all: Vec<FileProblems> = suites.broken;
    all.extend(broken.into_iter().filter(|file| !file.problems.is_empty()));
    if !all.is_empty() {
        diagnostics::show(&all);
        return Err(CliError::setup("").hint("nothing was run"));
    }
    refuse_same_names(&scenarios)?;
    Ok(scenarios)
}

/// What the paths lead to, as scenarios are named: `smoke/` for a folder of a suite, `/` for all of it, `smoke/tiny` for a file.
pub(crate) fn scope(paths: &[PathBuf]) -> Result<Vec<String>, CliError> {
    let mut scope = Vec::new();
    for path in paths {
        let mut found = Vec::new();
        find(path, &mut found)?;
        let absolute = path
            .canonicalize()
            .map_err(|error| CliError::setup(format!("{}: {error}", path.display())))?;
        match absolute.is_dir() {
            false => scope.extend(found.iter().map(name)),
            true => scope.extend(found.iter().map(|file| {
                let inside = absolute.strip_prefix(&file.suite).unwrap_or(Path::new(""));
                format!("{}/", joined(inside))
            })),
        }
    }
    scope.sort();
    scope.dedup();
    Ok(scope)
}

/// The cases of the scenarios; none is an error of its own.
pub(crate) fn cases(scenarios: &[Scenario]) -> Result<Vec<CaseSpec>, CliError> {
    let cases: Vec<CaseSpec> = scenarios
        .iter()
        .flat_map(|scenario| expand(scenario, &scenario.origin.suite.join(SNAPSHOTS).to_string_lossy()))
        .collect();
    if cases.is_empty() {
        return Err(
            CliError::with_code(ExitCode::NothingSelected, "no scenario was found: nothing to run")
                .hint("name a .toml file, or a folder that holds some"),
        );
    }
    Ok(cases)
}

/// Whether a path leads to something inside a folder, which is canonical, when links are followed.
fn is_inside(path: &Path, folder: &Path) -> std::io::Result<bool> {
    Ok(path.canonicalize()?.starts_with(folder))
}

fn find(path: &Path, found: &mut Vec<Found>) -> Result<(), CliError> {
    let absolute = path.canonicalize().map_err(|error| {
        CliError::setup(format!("{}: {error}", path.display())).hint("name a scenario file or a folder of them")
    })?;
    if absolute.is_dir() {
        let mut files = Vec::new();
        walk(path, &absolute, &mut files)?;
        for shown in files {
            push(&shown, Some(&absolute), found)?;
        }
        Ok(())
    } else {
        push(path, None, found)
    }
}

fn push(shown: &Path, given: Option<&Path>, found: &mut Vec<Found>) -> Result<(), CliError> {
    let absolute = shown
        .canonicalize()
        .map_err(|error| CliError::setup(format!("{}: {error}", shown.display())))?;
    let folder = absolute.parent().unwrap_or(Path::new("/")).to_path_buf();
    let marked = folder.ancestors().find(|ancestor| ancestor.join(DEFAULTS).is_file());
    let suite = marked.or(given).map_or_else(|| folder.clone(), Path::to_path_buf);
    found.push(Found {
        shown: shown.to_path_buf(),
        absolute,
        suite,
    });
    Ok(())
}

/// All scenario files below a folder, in the order of their names. `root` is what the person named: a link that leads out
/// of it would run, or quote in a log, what nobody reviewed with the suite, and one that is passed over could hide a failure.
/// A link to a folder inside is passed over, for what is in it is found at its own place.
fn walk(folder: &Path, root: &Path, files: &mut Vec<PathBuf>) -> Result<(), CliError> {
    let unreadable = |error: std::io::Error| CliError::setup(format!("{}: {error}", folder.display()));
    let mut entries = std::fs::read_dir(folder)
        .map_err(unreadable)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    entries.sort();
    for path in entries {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        let is_folder = path.is_dir();
        let is_looked_into = match is_folder {
            true => !NOT_SCENARIOS.contains(&name.as_str()),
            false => path.extension().is_some_and(|extension| extension == "toml"),
        };
        if is_looked_into && path.is_symlink() {
            let inside =
                is_inside(&path, root).map_err(|error| CliError::setup(format!("{}: {error}", path.display())))?;
            if !inside {
                return Err(
                    CliError::setup(format!("{} is a link that leads out of its suite", path.display()))
                        .hint("name what it leads to on the command line, or remove the link"),
                );
            }
            if is_folder {
                continue;
            }
        }
        if is_folder {
            if is_looked_into {
                walk(&path, root, files)?;
            }
        } else if name != DEFAULTS && path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    Ok(())
}

/// The defaults of each suite, read once.
#[derive(Debug, Default)]
struct Suites {
    defaults: HashMap<PathBuf, DefaultsFile>,
    broken: Vec<FileProblems>,
}

impl Suites {
    fn defaults(&mut self, suite: &Path) -> &DefaultsFile {
        if !self.defaults.contains_key(suite) {
            let file = suite.join(DEFAULTS);
            let (text, unreadable) = read_defaults(&file, suite);
            let (defaults, mut problems) = parse_defaults(&text);
            if let Some(unreadable) = unreadable {
                problems = vec![unreadable];
            } else if problems.is_empty() {
                problems = check_defaults(&defaults).err().unwrap_or_default();
            }
            if !problems.is_empty() {
                self.broken.push(FileProblems {
                    file: file.display().to_string(),
                    text,
                    problems,
                });
            }
            self.defaults.insert(suite.to_path_buf(), defaults);
        }
        &self.defaults[suite]
    }
}

/// The text of the defaults, empty where there are none, or why they cannot be read.
fn read_defaults(file: &Path, suite: &Path) -> (String, Option<Problem>) {
    match read_inside(file, suite) {
        Ok(text) => (text, None),
        Err(_) if !file.exists() && !file.is_symlink() => (String::new(), None),
        Err(error) => (String::new(), Some(Problem::general(error))),
    }
}

/// Reads a text file of a suite. One that is a link out of it is refused: its content would end up in prompts, reports and
/// messages.
fn read_inside(file: &Path, suite: &Path) -> Result<String, String> {
    match is_inside(file, suite) {
        Ok(true) => std::fs::read_to_string(file).map_err(|error| error.to_string()),
        Ok(false) => Err("the file is a link that leads out of its suite".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn read(file: &Found, suites: &mut Suites) -> Result<Scenario, FileProblems> {
    let shown = file.shown.display().to_string();
    let problems = |text: String, problems: Vec<Problem>| FileProblems {
        file: shown.clone(),
        text,
        problems,
    };
    let text = std::fs::read_to_string(&file.absolute).map_err(|error| {
        problems(
            String::new(),
            vec![Problem::general(format!("the file cannot be read: {error}"))],
        )
    })?;
    let (parsed, mut found) = parse(&text);
    let origin = Origin {
        name: name(file),
        file: shown.clone(),
        folder: file.absolute.parent().unwrap_or(Path::new("/")).to_path_buf(),
        suite: file.suite.clone(),
    };
    let read_text = |path: &Path| read_inside(path, &file.suite);
    let defaults = suites.defaults(&file.suite);
    match resolve(&parsed, defaults, &text, origin, &read_text) {
        Ok(scenario) if found.is_empty() => Ok(scenario),
        Ok(_) => Err(problems(text, found)),
        Err(more) => {
            // What could not be read is missing now; only complaints with a place of their own add something.
            let complete = found.is_empty();
            found.extend(more.into_iter().filter(|problem| complete || problem.span.is_some()));
            found.sort_by_key(|problem| problem.span.as_ref().map_or(usize::MAX, |span| span.start));
            Err(problems(text, found))
        }
    }
}

/// The path in the suite without extension, with `/`.
fn name(file: &Found) -> String {
    let inside = file
        .absolute
        .strip_prefix(&file.suite)
        .unwrap_or(&file.absolute)
        .with_extension("");
    joined(&inside)
}

/// A path with `/`.
fn joined(path: &Path) -> String {
    let parts: Vec<String> = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    parts.join("/")
}

/// Two suites may hold scenarios of the same name; in one run their cases could not be told apart.
fn refuse_same_names(scenarios: &[Scenario]) -> Result<(), CliError> {
    let mut names: HashMap<&str, &str> = HashMap::new();
    for scenario in scenarios {
        if let Some(other) = names.insert(&scenario.origin.name, &scenario.origin.file) {
            return Err(CliError::setup(format!(
                "two scenarios are called `{}`: {other} and {}",
                scenario.origin.name, scenario.origin.file
            ))
            .hint("run them apart, or rename one"));
        }
    }
    Ok(())
}
