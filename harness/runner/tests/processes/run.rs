//! Whole runs: order, records, skips, interruption and resumption.

use std::path::Path;

use placebench_core::outcome::{Outcome, OutcomeKind};
use placebench_core::protocol::{EventKind, ModelSource, WorkerEvent};
use placebench_core::record::{
    Attempt, CaseSpec, Environment, MeasureSpec, RECORD_VERSION, RunControl, RunInfo, Timeouts, Tool,
};
use placebench_runner::cancel::Cancel;
use placebench_runner::run::{FailurePolicy, RunEvent, RunPlan, RunSummary, run};
use placebench_runner::store::{self, RunFolder};
use placebench_runner::supervisor::{Observation, WorkerCommand};

use crate::fake::{PLENTY, case, command};

/// A case whose worker misbehaves as its placement is called.
pub(crate) fn behaving(mode: &str, repetitions: u32) -> CaseSpec {
    CaseSpec {
        case: format!("smoke/story/{mode}"),
        placement: mode.to_owned(),
        measure: MeasureSpec {
            repetitions,
            ..case().measure
        },
        timeout: Timeouts { token_s: 3.0, ..PLENTY },
        ..case()
    }
}

fn worker(case: &CaseSpec) -> WorkerCommand {
    command(&case.placement)
}

pub(crate) fn info(cases: &[CaseSpec]) -> RunInfo {
    RunInfo {
        schema_version: RECORD_VERSION,
        run_id: "20261122t140000z-0001".into(),
        started_at: "2026-11-22T14:00:00.000Z".into(),
        tool: Tool {
            name: "placebench".into(),
            version: "0.1.0".into(),
            profile: "debug".into(),
        },
        environment: Environment::default(),
        arguments: Vec::new(),
        seed: 1,
        cases: cases.to_vec(),
        control: RunControl::default(),
        shards: Vec::new(),
    }
}

fn plan<'a>(cases: &'a [CaseSpec], previous: &'a [Attempt]) -> RunPlan<'a> {
    RunPlan {
        cases,
        seed: 1,
        worker: &worker,
        cuda_devices: 0,
        previous,
        policy: FailurePolicy::NONE,
    }
}

fn kinds(attempts: &[Attempt], case: &CaseSpec) -> Vec<OutcomeKind> {
    let of_case = attempts.iter().filter(|attempt| attempt.case == case.case);
    of_case.map(|attempt| attempt.outcome.kind()).collect()
}

fn run_all(dir: &Path, cases: &[CaseSpec], observer: &mut dyn FnMut(RunEvent<'_>)) -> RunSummary {
    let mut folder = RunFolder::create(dir, &info(cases)).unwrap();
    run(&plan(cases, &[]), &mut folder, &Cancel::new(), observer).unwrap()
}

#[test]
fn one_misfortune_does_not_stop_the_others_and_is_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [behaving("ok", 3), behaving("hang:decode", 3), behaving("exit:3", 3)];
    let (mut started, mut finished, mut over) = (0, 0, Vec::new());
    let summary = run_all(dir.path(), &cases, &mut |event| match event {
        RunEvent::AttemptStarted { .. } => started += 1,
        RunEvent::AttemptFinished { .. } => finished += 1,
        RunEvent::CaseFinished { case } => over.push(case.case.clone()),
        RunEvent::Worker { .. }
        | RunEvent::CaseRetried { .. }
        | RunEvent::BaseAttemptStarted { .. }
        | RunEvent::BaseWorker { .. }
        | RunEvent::BaseAttemptFinished { .. } => {}
    });
    assert_eq!(
        summary,
        RunSummary {
            attempts: 5,
            interrupted: false
        }
    );
    assert_eq!((started, finished), (5, 5));
    over.sort();
    assert_eq!(
        over,
        ["smoke/story/exit:3", "smoke/story/hang:decode", "smoke/story/ok"]
    );
    let attempts = store::read(&dir.path().join("latest")).unwrap().attempts;
    assert_eq!(kinds(&attempts, &cases[0]), [OutcomeKind::Completed; 3]);
    assert_eq!(kinds(&attempts, &cases[1]), [OutcomeKind::Stalled]);
    assert_eq!(kinds(&attempts, &cases[2]), [OutcomeKind::Crashed]);
}

#[test]
fn events_are_kept_by_case() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [behaving("ok", 2)];
    run_all(dir.path(), &cases, &mut |_| {});
    let mut folder = std::fs::read_dir(dir.path().join("latest/events")).unwrap();
    let text = std::fs::read_to_string(folder.next().unwrap().unwrap().path()).unwrap();
    let events: Vec<WorkerEvent> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |wanted: fn(&EventKind) -> bool| events.iter().filter(|event| wanted(&event.kind)).count();
    assert_eq!(count(|kind| matches!(kind, EventKind::Token { .. })), 6);
    assert_eq!(count(|kind| matches!(kind, EventKind::Done)), 2);
    assert!(text.lines().last().unwrap().starts_with("{\"attempt\":1,"));
    assert!(folder.next().is_none());
}

#[test]
fn what_this_machine_cannot_run_is_skipped_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        CaseSpec {
            requires_cuda: 1,
            ..behaving("ok", 3)
        },
        CaseSpec {
            model: ModelSource::Path(dir.path().join("no-model").to_str().unwrap().into()),
            model_fetch: Some("ci/fetch-model.sh tiny".into()),
            ..behaving("exit:3", 3)
        },
    ];
    let summary = run_all(dir.path(), &cases, &mut |event| {
        assert!(!matches!(
            event,
            RunEvent::AttemptStarted { .. } | RunEvent::Worker { .. }
        ));
    });
    assert_eq!(summary.attempts, 2);
    let attempts = store::read(&dir.path().join("latest")).unwrap().attempts;
    let outcomes: Vec<&Outcome> = attempts.iter().map(|attempt| &attempt.outcome).collect();
    assert!(
        outcomes.iter().all(|outcome| outcome.kind() == OutcomeKind::Skipped),
        "{outcomes:?}"
    );
}

#[test]
fn an_interrupted_run_is_complete_and_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [behaving("ok", 2), behaving("exit:3", 2)];
    let cancel = Cancel::new();
    let mut folder = RunFolder::create(dir.path(), &info(&cases)).unwrap();
    let path = folder.path().to_owned();
    // The first case hangs until somebody loses patience.
    let hanging = |_: &CaseSpec| command("hang:decode");
    let first = RunPlan {
        worker: &hanging,
        ..plan(&cases, &[])
    };
    let patient = CaseSpec {
        timeout: PLENTY,
        ..cases[0].clone()
    };
    let patient_cases = [patient, cases[1].clone()];
    let first = RunPlan {
        cases: &patient_cases[..1],
        ..first
    };
    let summary = run(&first, &mut folder, &cancel, &mut |event| {
        let RunEvent::Worker {
            observation: Observation::Event(event),
            ..
        } = event
        else {
            return;
        };
        if matches!(event.kind, EventKind::Token { .. }) {
            cancel.cancel();
        }
    })
    .unwrap();
    assert_eq!(
        summary,
        RunSummary {
            attempts: 1,
            interrupted: true
        }
    );
    drop(folder);

    let (mut folder, before) = RunFolder::resume(&path).unwrap();
    assert_eq!(before.attempts.len(), 1);
    assert!(before.done().is_empty());
    let rest = plan(&cases, &before.attempts);
    let summary = run(&rest, &mut folder, &Cancel::new(), &mut |_| {}).unwrap();
    assert_eq!(
        summary,
        RunSummary {
            attempts: 3,
            interrupted: false
        }
    );
    let after = store::read(&path).unwrap().attempts;
    assert_eq!(kinds(&after, &cases[0]), [OutcomeKind::Completed; 2]);
    assert_eq!(kinds(&after, &cases[1]), [OutcomeKind::Crashed]);

    // Nothing is left to do: neither what completed nor what failed is made again.
    let summary = run(&plan(&cases, &after), &mut folder, &Cancel::new(), &mut |_| {}).unwrap();
    assert_eq!(
        summary,
        RunSummary {
            attempts: 0,
            interrupted: false
        }
    );
}

#[test]
fn a_run_that_is_stopped_before_it_begins_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [behaving("ok", 1)];
    let mut folder = RunFolder::create(dir.path(), &info(&cases)).unwrap();
    let cancel = Cancel::new();
    cancel.cancel();
    let summary = run(&plan(&cases, &[]), &mut folder, &cancel, &mut |_| {}).unwrap();
    assert_eq!(
        summary,
        RunSummary {
            attempts: 0,
            interrupted: true
        }
    );
}
