//! The cases of a search: the failing case with another placement, and nothing else changed.

use super::space::Configuration;
use crate::device::DeviceId;
use crate::doctor::probe::hop_name;
use crate::fault::{Fault, same_hop};
use crate::outcome::OutcomeKind;
use crate::placement::{DeviceMapRequest, PlacementRequest, Transfer};
use crate::record::{AgreementRule, AgreementSpec, CaseSpec, Expectation, Isolation, MeasureSpec};
use crate::scenario::resolve::DEFAULT_MAX_GAP;

/// The case whose failure is looked for: it must complete, with the text of the placement called `passing`.
///
/// Demands on the map itself (`forbid_devices`, `min_devices_used`) are left out: the map is what is varied. `attempts` is how
/// often a placement is tried before it counts as passing.
#[must_use]
pub fn failing_case(case: &CaseSpec, passing: &str, attempts: u32) -> CaseSpec {
    CaseSpec {
        measure: measure(case, attempts),
        expect: expectation(case, passing),
        ..case.clone()
    }
}

/// The case that must pass. It has the failing case's prompt, deadlines and number of sequences, the placement of `passing`,
/// and of the injected faults those that the scenario injects there too, or that have no place.
#[must_use]
pub fn passing_case(failing: &CaseSpec, passing: &CaseSpec) -> CaseSpec {
    // On one device nothing moves.
    let is_single = matches!(passing.request.device_map, DeviceMapRequest::Single(_));
    let moves = |fault: &Fault| fault.at.hop.is_some() || fault.at.link.is_some();
    let is_injected = |fault: &&Fault| {
        let is_shared = passing.faults.contains(fault) || is_placeless(fault);
        let has_a_chance = !is_single || !moves(fault);
        is_shared && has_a_chance
    };
    CaseSpec {
        case: passing.case.clone(),
        placement: passing.placement.clone(),
        line: passing.line,
        request: PlacementRequest {
            concurrency: failing.request.concurrency,
            ..passing.request.clone()
        },
        faults: failing.faults.iter().filter(is_injected).cloned().collect(),
        ..failing.clone()
    }
}

/// Everything on one device, where a scenario has no other placement to compare with.
#[must_use]
pub fn single_device_case(failing: &CaseSpec, device: &DeviceId) -> CaseSpec {
    let placement = format!("on-{}", device.as_str().replace(':', "-"));
    CaseSpec {
        case: format!("{}/{}/{placement}", failing.scenario, failing.prompt),
        placement,
        request: PlacementRequest {
            device_map: DeviceMapRequest::Single(device.clone()),
            max_memory: None,
            ..failing.request.clone()
        },
        faults: Vec::new(),
        ..failing.clone()
    }
}

/// What a probe is made of besides its configuration.
#[derive(Debug, Clone, Copy)]
pub struct ProbeBase<'a> {
    /// The case that fails, as [`failing_case`] makes it.
    pub failing: &'a CaseSpec,
    /// The case that passes, as [`passing_case`] makes it.
    pub passing: &'a CaseSpec,
    /// The modules in the order in which they run.
    pub modules: &'a [String],
    /// Where the failing case has them.
    pub failing_devices: &'a [DeviceId],
}

impl ProbeBase<'_> {
    /// The case that tries a configuration.
    #[must_use]
    pub fn probe(&self, name: &str, configuration: &Configuration) -> CaseSpec {
        let case = self.failing;
        CaseSpec {
            case: format!("{}/{}/{name}", case.scenario, case.prompt),
            placement: name.to_owned(),
            request: PlacementRequest {
                device_map: configuration.device_map(self.modules),
                max_memory: None,
                transfer: configuration.transfer,
                offload: configuration.offload,
                ..case.request.clone()
            },
            faults: self.faults(configuration),
            ..case.clone()
        }
    }

    /// The injected faults that can strike a configuration. One that the scenario injects into the failing placement alone
    /// belongs to what that does there: it strikes its module only on the same device.
    #[must_use]
    pub fn faults(&self, configuration: &Configuration) -> Vec<Fault> {
        let hops = configuration.hops();
        let name = |module: usize| self.modules.get(module).map_or("", String::as_str);
        let is_hop = |written: &str| {
            hops.iter()
                .any(|hop| same_hop(written, &format!("{} -> {}", name(*hop), name(hop + 1))))
        };
        let is_link = |written: &str| {
            let pairs = configuration.devices.windows(2).filter(|pair| pair[0] != pair[1]);
            let ways =
                pairs.flat_map(|pair| [Transfer::Direct, Transfer::Host].map(|way| hop_name(&pair[0], &pair[1], way)));
            ways.into_iter().any(|way| same_hop(written, &way))
        };
        let is_module = |written: &str| {
            let index = self.modules.iter().position(|module| module == written);
            index.is_some_and(|index| configuration.devices.get(index) == self.failing_devices.get(index))
        };
        let can_strike = |fault: &&Fault| {
            let (at, is_shared) = (&fault.at, self.passing.faults.contains(fault));
            at.hop.as_deref().is_none_or(is_hop)
                && at.link.as_deref().is_none_or(is_link)
                && at
                    .device
                    .as_ref()
                    .is_none_or(|device| configuration.devices.contains(device))
                && (is_shared || at.device.is_some() || at.module.as_deref().is_none_or(is_module))
        };
        self.failing.faults.iter().filter(can_strike).cloned().collect()
    }
}

/// Nothing in the model or among the devices is named.
fn is_placeless(fault: &Fault) -> bool {
    let at = &fault.at;
    at.hop.is_none() && at.module.is_none() && at.link.is_none() && at.device.is_none()
}

/// The process is what is repeated, unless the case wants several generations in one and one process is enough.
fn measure(case: &CaseSpec, attempts: u32) -> MeasureSpec {
    match case.measure.isolation {
        Isolation::Shared if attempts <= 1 => case.measure,
        Isolation::Shared | Isolation::Process => MeasureSpec {
            warmup: case.measure.warmup,
            repetitions: attempts.max(1),
            isolation: Isolation::Process,
            ..case.measure
        },
    }
}

fn expectation(case: &CaseSpec, passing: &str) -> Expectation {
    let known = case.expect.agreement.as_ref();
    Expectation {
        outcome: OutcomeKind::Completed,
        phase: None,
        at: None,
        agreement: Some(AgreementSpec {
            reference: passing.to_owned(),
            rule: known.map_or_else(AgreementRule::default, |agreement| agreement.rule),
            max_gap: known.map_or(DEFAULT_MAX_GAP, |agreement| agreement.max_gap),
        }),
        forbid_devices: Vec::new(),
        min_devices_used: None,
        fails: Vec::new(),
        engines: None,
        ..case.expect.clone()
    }
}
