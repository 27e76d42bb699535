//! Approved and pending snapshots of a run's cases.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use placebench_core::device::DeviceKind;
use placebench_core::judge::{Approved, SnapshotState};
use placebench_core::outcome::Outcome;
use placebench_core::protocol::Generation;
use placebench_core::record::{Attempt, CaseSpec, CaseStatus, RunInfo, RunVerdict};
use placebench_runner::snapshot::{self, SnapshotContent, SnapshotKey, SnapshotOrigin, SnapshotPolicy};

use crate::terminal;

/// What is approved for each case that compares with a snapshot.
pub(crate) fn states(info: &RunInfo, attempts: &[Attempt]) -> HashMap<String, SnapshotState> {
    let mut states = HashMap::new();
    for case in info.cases.iter().filter(|case| case.expect.snapshot) {
        let Some((class, _)) = generated(case, attempts) else {
            continue;
        };
        let state = match snapshot::load(Path::new(&case.snapshot_dir), &key(case, &class)) {
            Ok(Some(approved)) => SnapshotState::Approved(Approved {
                text: approved.content.text,
                token_ids: approved.content.token_ids,
            }),
            Ok(None) => SnapshotState::Missing,
            Err(error) => SnapshotState::Unreadable(terminal::chain(&error)),
        };
        states.insert(case.case.clone(), state);
    }
    states
}

/// Proposes a text for every snapshot that is missing or no longer matches, and withdraws proposals that are out of date.
/// One snapshot serves all placements of a prompt, so the first case of a prompt that generated is the one that proposes:
/// scenarios name the reference placement first. Returns the files that wait for review.
pub(crate) fn propose(
    info: &RunInfo,
    attempts: &[Attempt],
    verdict: &RunVerdict,
    policy: SnapshotPolicy,
) -> Vec<PathBuf> {
    let mut pending = Vec::new();
    // An audit looks into texts that are known; it may be shorter than they are.
    if info.cases.iter().any(|case| case.audit.is_some()) {
        return pending;
    }
    let mut settled = BTreeSet::new();
    for (case, judged) in info
        .cases
        .iter()
        .zip(&verdict.cases)
        .filter(|(case, _)| case.expect.snapshot)
    {
        let Some((class, generation)) = generated(case, attempts) else {
            continue;
        };
        if !settled.insert((&case.scenario, &case.prompt, class.clone())) {
            continue;
        }
        let (dir, key) = (Path::new(&case.snapshot_dir), key(case, &class));
        let differs =
            judged.status == CaseStatus::Pending || judged.findings.iter().any(|finding| finding.check == "snapshot");
        let result = if !differs {
            snapshot::discard_pending(dir, &key).map(|_| None)
        } else if policy == SnapshotPolicy::Never {
            Ok(None)
        } else {
            let content = SnapshotContent {
                text: generation.text.clone(),
                token_ids: generation.output_ids.clone(),
                finish_reason: generation.finish_reason,
            };
            let origin = SnapshotOrigin {
                source: &case.file,
                case: &case.case,
                model: &case.model.label(),
            };
            snapshot::write_pending(dir, &key, &content, &origin, policy)
        };
        match result {
            Ok(Some(path)) => pending.push(path),
            Ok(None) => {}
            Err(error) => terminal::warning(&terminal::chain(&error)),
        }
    }
    pending
}

fn key<'a>(case: &'a CaseSpec, class: &'a str) -> SnapshotKey<'a> {
    SnapshotKey {
        scenario: &case.scenario,
        prompt: &case.prompt,
        device_class: class,
    }
}

/// The device class and the first generation of a case that completed; of several tries that of the last one.
fn generated<'a>(case: &CaseSpec, attempts: &'a [Attempt]) -> Option<(String, &'a Generation)> {
    let completed = || {
        attempts.iter().filter(|attempt| {
            attempt.case == case.case && attempt.outcome == Outcome::Completed && !attempt.generations.is_empty()
        })
    };
    let last = completed().map(|attempt| case.retry_of(attempt.attempt)).max()?;
    let attempt = completed().find(|attempt| case.retry_of(attempt.attempt) == last)?;
    Some((device_class(attempt), attempt.generations.first()?))
}

/// `cpu`, or the kind of accelerator: texts of one class are expected to be the same.
fn device_class(attempt: &Attempt) -> String {
    let kind_of = |kind: DeviceKind| match kind {
        DeviceKind::Cuda(_) => Some("cuda"),
        DeviceKind::Metal(_) => Some("metal"),
        DeviceKind::Cpu | DeviceKind::Disk | DeviceKind::Logical => None,
    };
    attempt
        .devices
        .iter()
        .find_map(|device| kind_of(device.on.kind()))
        .unwrap_or("cpu")
        .to_owned()
}
