//! Approved and pending snapshots of a run's cases.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use placebench_core::device::DeviceKind;
use placebench_core::judge::compare::near_ties;
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
                near_ties: approved.content.near_ties,
                class: approved.class,
                own_class: class,
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
                near_ties: near_ties(generation),
                text_offsets: generation.text_offsets.clone(),
            };
            let origin = SnapshotOrigin {
                source: &case.file,
                case: &case.case,
                model: &case.model.label(),
                run: &info.run_id,
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

/// `cpu`, or the kind of accelerator with its architecture where that is told: texts of one class are expected to be the
/// same. What a server computes on is not told, so that it is a class of its own: `server`. Several architectures at work together are a class of their own: `cuda-sm80-sm90`.
fn device_class(attempt: &Attempt) -> String {
    let kind_of = |kind: DeviceKind| match kind {
        DeviceKind::Cuda(_) => Some("cuda"),
        DeviceKind::Metal(_) => Some("metal"),
        DeviceKind::Cpu | DeviceKind::Disk | DeviceKind::Logical => None,
    };
    if attempt
        .devices
        .iter()
        .any(|device| device.on.as_str().starts_with("server:"))
    {
        return "server".to_owned();
    }
    let Some(kind) = attempt.devices.iter().find_map(|device| kind_of(device.on.kind())) else {
        return "cpu".to_owned();
    };
    let of_kind = attempt
        .devices
        .iter()
        .filter(|device| kind_of(device.on.kind()) == Some(kind));
    let architectures: BTreeSet<&str> = of_kind.filter_map(|device| device.architecture.as_deref()).collect();
    let parts: Vec<&str> = std::iter::once(kind).chain(architectures).collect();
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use placebench_core::device::DeviceId;
    use placebench_core::protocol::DeviceFacts;

    use super::*;

    fn class_of(devices: &[(&str, Option<&str>)]) -> String {
        let facts = |(on, architecture): &(&str, Option<&str>)| DeviceFacts {
            id: DeviceId::new("sim:0").unwrap(),
            on: DeviceId::new(on).unwrap(),
            name: String::new(),
            memory_bytes: None,
            architecture: architecture.map(str::to_owned),
        };
        let devices: Vec<DeviceFacts> = devices.iter().map(facts).collect();
        let attempt = serde_json::json!({
            "case": "", "attempt": 0, "started_at": "", "wall_s": 0.0, "outcome": {"kind": "completed"}, "phases": [],
            "versions": [], "profile": null, "devices": devices, "planned": null, "realised": null, "memory": [],
            "peak_rss_bytes": null, "generations": [], "stderr_tail": "", "leaked_pipes": false,
        });
        device_class(&serde_json::from_value(attempt).unwrap())
    }

    #[test]
    fn a_class_is_the_kind_and_the_architectures_of_the_accelerators() {
        let (cpu, sm90) = (("cpu", None), ("cuda:0", Some("sm90")));
        assert_eq!(class_of(&[cpu]), "cpu");
        assert_eq!(class_of(&[cpu, sm90]), "cuda-sm90");
        assert_eq!(class_of(&[cpu, ("cuda:0", None)]), "cuda");
        assert_eq!(class_of(&[("cuda:1", Some("sm80")), sm90, sm90]), "cuda-sm80-sm90");
        assert_eq!(class_of(&[cpu, ("metal:0", None)]), "metal");
        assert_eq!(class_of(&[("server:0", None)]), "server");
    }
}
