//! Made-up placements: as many modules, devices and mishaps as a diagram must be able to show.

use placebench_core::device::DeviceId;
use placebench_core::outcome::{Deadline, Hop, LastSeen, Outcome, Phase, Place};
use placebench_core::placement::{DeviceMapRequest, StrategyName};
use placebench_core::protocol::{LinkFacts, RealisedModule};
use placebench_core::record::{CaseStatus, RunRecord, TextVerdict};
use placebench_core::units::Bytes;

use super::{TEXT, attempt, completed, device, ended, spec, strategy, verdict};
use placebench_core::placement::Transfer;

pub(crate) const SCENARIO: &str = "diagram";
pub(crate) const PROMPT: &str = "p";

/// An embedding, layers, a norm and a head, each where `place` says.
pub(crate) fn model(layers: usize, place: impl Fn(usize) -> String) -> Vec<RealisedModule> {
    let mut names = vec![("model.embed_tokens".to_owned(), 4 << 20)];
    names.extend((0..layers).map(|layer| (format!("model.layers.{layer}"), 3 << 20)));
    names.extend([("model.norm".to_owned(), 4096), ("lm_head".to_owned(), 0)]);
    let one = |(index, (module, bytes)): (usize, (String, u64))| RealisedModule {
        module,
        device: device(&place(index)),
        bytes: Bytes(bytes),
        rank: None,
    };
    names.into_iter().enumerate().map(one).collect()
}

/// The modules in equal parts on so many devices.
pub(crate) fn spread(layers: usize, devices: usize) -> Vec<RealisedModule> {
    model(layers, |index| format!("gpu:{}", index * devices / (layers + 3)))
}

/// A case that completed where it was planned.
pub(crate) fn kept(record: &mut RunRecord, placement: &str, modules: &[RealisedModule]) {
    let spec = spec(SCENARIO, PROMPT, placement, strategy(StrategyName::Auto));
    completed(record, spec, modules, TEXT, 0.03, 0.01);
}

/// A case of which a map asks for one thing, the planner answers another, and loading makes a third.
pub(crate) fn differing(
    record: &mut RunRecord,
    placement: &str,
    (asked, planned, loaded): (&[RealisedModule], &[RealisedModule], &[RealisedModule]),
) {
    let map = DeviceMapRequest::Manual(map_of(asked));
    completed(record, spec(SCENARIO, PROMPT, placement, map), loaded, TEXT, 0.03, 0.01);
    let case = format!("{SCENARIO}/{PROMPT}/{placement}");
    for attempt in record.attempts.iter_mut().filter(|attempt| attempt.case == case) {
        attempt.planned = Some(super::planned(planned));
    }
}

pub(crate) fn map_of(modules: &[RealisedModule]) -> Vec<(String, DeviceId)> {
    let entry = |module: &RealisedModule| (module.module.clone(), module.device.clone());
    modules.iter().map(entry).collect()
}

/// A hang at a place; `loaded` says whether the modules were in memory by then.
pub(crate) fn hung(record: &mut RunRecord, placement: &str, modules: &[RealisedModule], place: Place, loaded: bool) {
    let phase = if loaded { Phase::Decode } else { Phase::Load };
    let outcome = Outcome::Stalled {
        phase,
        deadline: Deadline::Token,
        limit_s: 2.0,
        last: LastSeen {
            phase: Some(phase),
            token: loaded.then_some(3),
            place: Some(place),
            for_s: Some(2.01),
            last_token_before_s: None,
            ranks: Vec::new(),
        },
        tokens: 3,
    };
    broke(record, placement, modules, outcome, loaded);
}

/// A case that ended otherwise.
pub(crate) fn broke(
    record: &mut RunRecord,
    placement: &str,
    modules: &[RealisedModule],
    outcome: Outcome,
    loaded: bool,
) {
    let spec = spec(SCENARIO, PROMPT, placement, strategy(StrategyName::Auto));
    let mut broken = attempt(&spec.case, 0, outcome.clone());
    broken.planned = Some(super::planned(modules));
    broken.places = map_of(modules);
    broken.realised = loaded.then(|| modules.to_vec());
    broken.links = vec![LinkFacts {
        from: device("gpu:0"),
        to: device("gpu:1"),
        transfer: Transfer::Host,
        verified: true,
        reason: Some("a copy came back wrong".into()),
    }];
    let judged = verdict(&spec.case, CaseStatus::Failed, &outcome, TextVerdict::Unchecked);
    ended(record, spec, broken, judged);
}

/// The hop into a module.
pub(crate) fn hop_into(modules: &[RealisedModule], at: usize) -> Place {
    Place::Hop(Hop {
        from_module: modules[at - 1].module.clone(),
        to_module: modules[at].module.clone(),
        from_device: modules[at - 1].device.clone(),
        to_device: modules[at].device.clone(),
    })
}

pub(crate) fn module_at(modules: &[RealisedModule], at: usize) -> Place {
    Place::Module {
        module: modules[at].module.clone(),
        device: modules[at].device.clone(),
    }
}
