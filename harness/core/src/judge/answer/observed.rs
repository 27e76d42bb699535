//! What is known of a case: how it ended, and everything about it that may be to blame.

use crate::device::DeviceId;
use crate::fault::Fault;
use crate::outcome::ranks::behind_words;
use crate::outcome::{FailureClass, Outcome, OutcomeKind};
use crate::placement::{DeviceMapRequest, PlacementRequest, Transfer};
use crate::protocol::Dtype;
use crate::record::{Attempt, CaseSpec, CaseStatus, CaseVerdict, TextVerdict};

/// Checks that find a wrong text or wrong values, beside the judgement on the text itself.
const OF_VALUES: [&str; 7] = [
    "agreement",
    "contains",
    "engines",
    "garbage",
    "output",
    "probe",
    "repeatable",
];

/// How a case that went wrong did so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// It did not complete.
    Broke,
    /// A device had not enough memory.
    OutOfMemory,
    /// It completed with another text than it should have.
    Text,
    /// The same, and only another engine says so.
    OtherThanEngine,
}

/// How a case ended, as far as blame goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// It completed and nothing is known against its text.
    Right {
        /// Its text was compared with another.
        is_checked: bool,
    },
    /// It went wrong, as expected or not.
    Wrong {
        /// How.
        manner: Manner,
        /// The same in words that follow its name: `stalls in decode at a -> b`.
        words: String,
        /// Not every time.
        at_times: bool,
    },
    /// Nothing can be said: it was not run, could not be set up, or ended too early to tell.
    Unknown {
        /// Why, in a sentence.
        why: String,
        /// What would make it run.
        hint: Option<String>,
    },
}

/// On how many devices a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    Several,
    /// Several processes.
    Ranks,
    /// The engine's own affair.
    Stated,
}

/// Something a script does with the model besides placing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScriptStep {
    /// The key of the scenario that asks for it.
    pub(super) key: &'static str,
    /// The same as a script has it: `model.to(cuda:0)`.
    pub(super) words: String,
    /// When, where that matters.
    pub(super) when: &'static str,
}

impl ScriptStep {
    fn move_to(to: &impl std::fmt::Display) -> Self {
        Self {
            key: "transformers.move_to",
            words: format!("model.to({to})"),
            when: " after dispatch",
        }
    }

    fn inputs_on(on: &impl std::fmt::Display) -> Self {
        Self {
            key: "transformers.inputs_on",
            words: format!("inputs on {on}"),
            when: "",
        }
    }
}

/// A case as a diagnostician sees it.
#[derive(Debug, Clone)]
pub(super) struct Seen<'a> {
    pub(super) case: &'a str,
    pub(super) placement: &'a str,
    pub(super) file: &'a str,
    pub(super) engine: &'a str,
    pub(super) environment: Option<&'a str>,
    pub(super) versions: Vec<String>,
    pub(super) request: &'a PlacementRequest,
    pub(super) dtype: Option<Dtype>,
    pub(super) faults: &'a [Fault],
    /// What its script does with the model besides placing it.
    pub(super) script: Vec<ScriptStep>,
    /// The devices its modules were on, as far as that is known, in alphabetical order.
    pub(super) devices: Vec<DeviceId>,
    /// Those it may have been on: the pieces of hardware, without the disk.
    pub(super) hardware: Vec<DeviceId>,
    /// In what its modules are not where they were asked or planned to be: `lm_head on cpu instead of disk`.
    pub(super) not_kept: Option<String>,
    /// Some of its devices are slices of another.
    pub(super) is_logical: bool,
    pub(super) state: State,
}

impl<'a> Seen<'a> {
    pub(super) fn new(spec: &'a CaseSpec, attempts: &[&'a Attempt], verdict: Option<&CaseVerdict>) -> Self {
        let devices = devices(spec, attempts);
        let physical = |device: &DeviceId| {
            let logical = spec.devices.iter().find(|logical| logical.id == *device);
            logical.map_or_else(|| device.clone(), |logical| logical.on.clone())
        };
        let may_use: Vec<DeviceId> = match devices.is_empty() {
            true => attempts
                .iter()
                .flat_map(|attempt| attempt.devices.iter().map(|facts| facts.on.clone()))
                .collect(),
            false => devices.iter().map(physical).collect(),
        };
        let stack = spec.transformers.as_ref();
        let script = [
            stack.and_then(|stack| stack.move_to.as_ref()).map(ScriptStep::move_to),
            stack
                .and_then(|stack| stack.inputs_on.as_ref())
                .map(ScriptStep::inputs_on),
        ];
        Self {
            case: &spec.case,
            placement: &spec.placement,
            file: &spec.file,
            engine: &spec.engine,
            environment: stack.and_then(|stack| stack.environment.as_deref()),
            versions: attempts
                .iter()
                .map(|attempt| attempt.versions.clone())
                .find(|told| !told.is_empty())
                .unwrap_or_default(),
            request: &spec.request,
            dtype: spec.dtype,
            faults: &spec.faults,
            script: script.into_iter().flatten().collect(),
            is_logical: (devices.iter().chain(&asked(spec)))
                .any(|device| spec.devices.iter().any(|logical| logical.id == *device))
                || (devices.is_empty() && !spec.devices.is_empty()),
            not_kept: verdict.and_then(not_kept),
            hardware: sorted(may_use.into_iter().filter(|device| *device != DeviceId::disk())),
            devices,
            state: state(spec, attempts, verdict),
        }
    }

    pub(super) fn is_wrong(&self) -> bool {
        matches!(self.state, State::Wrong { .. })
    }

    pub(super) fn is_right(&self) -> bool {
        matches!(self.state, State::Right { .. })
    }

    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.state, State::Unknown { .. })
    }

    pub(super) fn manner(&self) -> Option<Manner> {
        match self.state {
            State::Wrong { manner, .. } => Some(manner),
            State::Right { .. } | State::Unknown { .. } => None,
        }
    }

    pub(super) fn is_launched(&self) -> bool {
        matches!(self.request.device_map, DeviceMapRequest::Ranks(_))
    }

    pub(super) fn is_host_staged(&self) -> bool {
        self.request.transfer == Transfer::Host
    }

    /// A planner whose answer is not known is taken to have spread the model: that is what it is asked for.
    pub(super) fn shape(&self) -> Shape {
        match &self.request.device_map {
            DeviceMapRequest::Ranks(_) => Shape::Ranks,
            DeviceMapRequest::Stated(_) => Shape::Stated,
            DeviceMapRequest::Single(_) => Shape::One,
            // What was asked for is what failed, also where the library put all of it on one device.
            DeviceMapRequest::Manual(map)
                if self.not_kept.is_some() && sorted(map.iter().map(|(_, device)| device.clone())).len() > 1 =>
            {
                Shape::Several
            }
            _ if self.devices.len() == 1 => Shape::One,
            _ => Shape::Several,
        }
    }

    /// A link between two pieces of hardware may have taken part.
    pub(super) fn crosses_hardware(&self) -> bool {
        self.hardware.len() > 1 && self.shape() != Shape::One
    }
}

fn sorted(devices: impl Iterator<Item = DeviceId>) -> Vec<DeviceId> {
    let mut devices: Vec<DeviceId> = devices.collect();
    devices.sort();
    devices.dedup();
    devices
}

/// Where the model was, read back; else where it was to run; else where it was planned; else where it was asked to be.
fn devices(spec: &CaseSpec, attempts: &[&Attempt]) -> Vec<DeviceId> {
    let realised = attempts
        .iter()
        .flat_map(|attempt| attempt.realised.iter().flatten().map(|module| module.device.clone()));
    let places = attempts
        .iter()
        .flat_map(|attempt| attempt.places.iter().map(|(_, device)| device.clone()));
    let planned = attempts
        .iter()
        .filter_map(|attempt| attempt.planned.as_ref())
        .flat_map(|planned| planned.device_map.iter().map(|(_, device)| device.clone()));
    let known = [
        sorted(realised),
        sorted(places),
        sorted(planned),
        sorted(asked(spec).into_iter()),
    ];
    known
        .into_iter()
        .find(|devices| !devices.is_empty())
        .unwrap_or_default()
}

/// The devices that are asked for by name.
fn asked(spec: &CaseSpec) -> Vec<DeviceId> {
    match &spec.request.device_map {
        DeviceMapRequest::Single(device) => vec![device.clone()],
        DeviceMapRequest::Manual(map) => map.iter().map(|(_, device)| device.clone()).collect(),
        _ => Vec::new(),
    }
}

/// What the check of the realised map found, expected or not, without the words before its list.
fn not_kept(verdict: &CaseVerdict) -> Option<String> {
    let found =
        (verdict.findings.iter().chain(&verdict.expected_findings)).find(|finding| finding.check == "realised")?;
    let list = found
        .message
        .strip_prefix("the realised placement is not the planned one");
    Some(list.unwrap_or(&found.message).trim_start_matches([':', ' ']).to_owned())
}

fn state(spec: &CaseSpec, attempts: &[&Attempt], verdict: Option<&CaseVerdict>) -> State {
    let unknown = |why: &str| State::Unknown {
        why: why.to_owned(),
        hint: attempts.iter().find_map(|attempt| match &attempt.outcome {
            Outcome::Skipped { hint, .. } => hint.clone(),
            _ => None,
        }),
    };
    let Some(verdict) = verdict else {
        return unknown("it was never judged");
    };
    if matches!(verdict.status, CaseStatus::Skipped | CaseStatus::Setup) || verdict.outcome == OutcomeKind::Skipped {
        return unknown(&verdict.sentence);
    }
    let shown = attempts
        .iter()
        .rev()
        .find(|attempt| attempt.outcome.kind() == verdict.outcome);
    let outcome = shown.map(|attempt| &attempt.outcome);
    if matches!(outcome, Some(Outcome::Failed { failure }) if says_nothing(failure.class)) {
        return unknown(&verdict.sentence);
    }
    let earlier = verdict
        .earlier_tries
        .iter()
        .find(|earlier| earlier.outcome != OutcomeKind::Completed || !earlier.findings.is_empty());
    if verdict.outcome == OutcomeKind::Timeout {
        return unknown("it was getting on when its time was up: whether it would have ended right is not known");
    }
    let kinds = || attempts.iter().map(|attempt| attempt.outcome.kind());
    let at_times = earlier.is_some()
        || (kinds().any(|kind| kind == OutcomeKind::Completed) && kinds().any(|kind| kind != OutcomeKind::Completed));
    let wrong = |manner, words: String| State::Wrong {
        manner,
        words,
        at_times,
    };
    match verdict.outcome {
        OutcomeKind::Completed => {}
        OutcomeKind::OutOfMemory => return wrong(Manner::OutOfMemory, ended("runs out of memory", outcome)),
        OutcomeKind::Stalled => return wrong(Manner::Broke, ended("stalls", outcome)),
        OutcomeKind::Crashed => return wrong(Manner::Broke, ended("dies", outcome)),
        OutcomeKind::Failed => {
            return wrong(
                Manner::Broke,
                format!("fails ({})", verdict.sentence.trim_end_matches('.')),
            );
        }
        OutcomeKind::Timeout | OutcomeKind::Skipped => return unknown(&verdict.sentence),
    }
    // A check that is expected to fail stands among the findings only where it did not.
    let unexpected = verdict
        .findings
        .iter()
        .filter(|finding| !spec.expect.fails.contains(&finding.check));
    let mut checks: Vec<&str> = (verdict.expected_findings.iter().chain(unexpected))
        .map(|finding| finding.check.as_str())
        .filter(|check| OF_VALUES.contains(check))
        .collect();
    checks.sort_unstable();
    checks.dedup();
    match (verdict.text, checks.as_slice()) {
        (TextVerdict::Garbage, _) => wrong(Manner::Text, "generates garbage".to_owned()),
        (TextVerdict::Diverged, ["engines"])
        | (TextVerdict::Exact | TextVerdict::NearTie | TextVerdict::Unchecked, ["engines"]) => wrong(
            Manner::OtherThanEngine,
            "generates another text than the first engine".to_owned(),
        ),
        (TextVerdict::Diverged, _) => wrong(Manner::Text, "generates another text".to_owned()),
        (_, []) if earlier.is_some() => wrong(Manner::Broke, "goes wrong before it is tried again".to_owned()),
        (text, []) => State::Right {
            is_checked: text != TextVerdict::Unchecked,
        },
        (_, ["repeatable"]) => wrong(Manner::Text, "does not generate the same text each time".to_owned()),
        (_, checks) => wrong(Manner::Text, format!("fails {}", checks.join(", "))),
    }
}

/// Failures that come before anything was computed, and say nothing about computing it.
fn says_nothing(class: FailureClass) -> bool {
    matches!(
        class,
        FailureClass::ModelMissing
            | FailureClass::ModelInvalid
            | FailureClass::Unsupported
            | FailureClass::Tokenizer
            | FailureClass::DeviceMissing
    )
}

/// `stalls in decode at a -> b`, `stalls in decode (rank 1 of 2)`.
fn ended(verb: &str, outcome: Option<&Outcome>) -> String {
    let mut words = verb.to_owned();
    if let Some(phase) = outcome.and_then(Outcome::phase) {
        words.push_str(&format!(" in {phase}"));
    }
    if let Some(place) = outcome.and_then(Outcome::place) {
        words.push_str(&format!(" at {}", place.name()));
    }
    let rank = match outcome {
        Some(Outcome::Stalled { last, .. } | Outcome::Crashed { last, .. }) => behind_words(&last.ranks),
        Some(Outcome::OutOfMemory { failure }) => failure.rank.map(|rank| format!("rank {rank}")),
        _ => None,
    };
    if let Some(rank) = rank {
        words.push_str(&format!(" ({rank})"));
    }
    words
}
