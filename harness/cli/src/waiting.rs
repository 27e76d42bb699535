//! The snapshots that wait for review below some paths, and the approved ones that no case refers to any more.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use placebench_core::record::CaseSpec;
use placebench_core::scenario::resolve::DEFAULT_MAX_GAP;
use placebench_runner::snapshot::{self, Pending, References, SnapshotError, Unreferenced};

use crate::args::SnapshotArgs;
use crate::error::CliError;
use crate::terminal::{self, counted};
use crate::{selection, settings, suite};

/// What waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// What can be reviewed, in order of the paths.
    pub(crate) pending: Vec<Pending>,
    /// What is called like a pending snapshot and cannot be reviewed.
    pub(crate) refused: Vec<SnapshotError>,
}

/// What the scenarios around the snapshots say; nothing where none were found.
#[derive(Debug, Default)]
pub(crate) struct Suites {
    cases: Vec<CaseSpec>,
    references: References,
    /// Approved snapshots that no case refers to; `None` where that cannot be told.
    pub(crate) unreferenced: Option<Vec<Unreferenced>>,
}

impl Suites {
    /// The largest gap of logits that counts as a tie, for the case that proposed a snapshot.
    pub(crate) fn max_gap(&self, pending: &Pending) -> f32 {
        let case = pending.header.case.as_deref();
        let known = self.cases.iter().find(|spec| Some(spec.case.as_str()) == case);
        let agreement = known.and_then(|case| case.expect.agreement.as_ref());
        agreement.map_or(DEFAULT_MAX_GAP, |agreement| agreement.max_gap)
    }

    /// Whether a case refers to a pending snapshot; `None` where that cannot be told.
    pub(crate) fn is_referenced(&self, pending: &Pending) -> Option<bool> {
        self.unreferenced.as_ref()?;
        let file = pending.path.canonicalize().ok()?;
        // Files of a suite inside this one, which is run by itself, are none of its cases' business.
        let is_of_suite = self.cases.iter().any(|case| file.starts_with(&case.snapshot_dir));
        is_of_suite.then(|| self.references.contains(&file))
    }
}

/// Finds what waits. A filter needs the scenarios, and is refused without them.
pub(crate) fn find(args: &SnapshotArgs) -> Result<Waiting, CliError> {
    let mut waiting = Waiting {
        pending: Vec::new(),
        refused: Vec::new(),
    };
    let filterset = settings::filter_of_flags(&args.filterset)?;
    for path in &args.paths {
        if path.symlink_metadata().is_err() {
            return Err(
                CliError::setup(format!("{}: there is no such file or folder", path.display()))
                    .hint("name a pending snapshot (.snap.new), or a folder of scenarios or snapshots"),
            );
        }
        if path.is_dir() {
            let list = snapshot::list_pending(path);
            waiting.pending.extend(list.pending);
            waiting.refused.extend(list.refused);
        } else {
            let read = snapshot::read_pending(path);
            waiting
                .pending
                .push(read.map_err(|error| CliError::setup(terminal::chain(&error)))?);
        }
    }
    let mut seen = HashSet::new();
    waiting
        .pending
        .retain(|pending| seen.insert(pending.path.canonicalize().unwrap_or_else(|_| pending.path.clone())));
    if let Some(filterset) = filterset {
        let cases = suite::cases(&suite::load(&folders(&args.paths))?)?;
        let selected = references_of(&selection::only(cases, &filterset)?);
        waiting.pending.retain(|pending| selected.contains(&pending.path));
    }
    Ok(waiting)
}

/// Reads the scenarios around the snapshots. Broken ones are shown, and then nothing is told of them.
pub(crate) fn suites(paths: &[PathBuf]) -> Suites {
    let folders = folders(paths);
    let Ok(scenarios) = suite::load(&folders) else {
        terminal::warning("the scenarios cannot be read, so nothing is said about snapshots that no case refers to");
        return Suites::default();
    };
    if scenarios.is_empty() {
        return Suites::default();
    }
    let Ok(cases) = suite::cases(&scenarios) else {
        return Suites::default();
    };
    Suites {
        references: references_of(&cases),
        unreferenced: unreferenced(&folders, &cases),
        cases,
    }
}

/// Says which approved snapshots no case refers to, after a run of whole suites.
pub(crate) fn warn_of_unreferenced(paths: &[PathBuf], cases: &[CaseSpec]) {
    tell_unreferenced(&unreferenced(&folders(paths), cases).unwrap_or_default());
}

/// Names them, and what can be done.
pub(crate) fn tell_unreferenced(unreferenced: &[Unreferenced]) {
    if unreferenced.is_empty() {
        return;
    }
    let files: Vec<String> = unreferenced
        .iter()
        .map(|unreferenced| format!("\n  {}", shown(&unreferenced.path).display()))
        .collect();
    let (which, refers) = match files.len() {
        1 => ("is an approved snapshot", "it"),
        _ => ("are approved snapshots", "them"),
    };
    terminal::warning(&format!(
        "there {which} that no case refers to any more:{}",
        files.concat()
    ));
    terminal::hint(&format!(
        "remove {refers} with `placebench accept --unreferenced delete`, and the folder of the suite"
    ));
}

/// A path below the current folder as people know it.
pub(crate) fn shown(path: &Path) -> &Path {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    here.ok().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path)
}

/// `1 pending snapshot`.
pub(crate) fn number_of(pending: usize) -> String {
    counted(pending, "pending snapshot")
}

fn folders(paths: &[PathBuf]) -> Vec<PathBuf> {
    paths.iter().filter(|path| path.is_dir()).cloned().collect()
}

fn references_of(cases: &[CaseSpec]) -> References {
    let mut references = References::default();
    for case in cases.iter().filter(|case| case.expect.snapshot) {
        references.insert(Path::new(&case.snapshot_dir), &case.scenario, &case.prompt);
    }
    references
}

/// Approved snapshots that none of the cases refers to; `None` where no suite is wholly below the folders, so that some other
/// scenario may.
fn unreferenced(folders: &[PathBuf], cases: &[CaseSpec]) -> Option<Vec<Unreferenced>> {
    let roots: Vec<PathBuf> = folders.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
    let is_whole = |dir: &Path| {
        let suite = dir.parent().unwrap_or(dir);
        roots.iter().any(|root| suite.starts_with(root))
    };
    let dirs: BTreeSet<PathBuf> = cases.iter().map(|case| PathBuf::from(&case.snapshot_dir)).collect();
    if !dirs.iter().all(|dir| is_whole(dir)) {
        return None;
    }
    let references = references_of(cases);
    let below = |dir: &PathBuf| references.missing_below(dir);
    Some(dirs.iter().flat_map(below).collect())
}
