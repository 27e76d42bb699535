//! Which attempts may run at the same time.
//!
//! A case is *measured* where its times are asked for: it is repeated, or limited in time, or held against another program.
//! Every worker uses the host, whatever device computes, and two that compute on it at once slow each other down; so a measured
//! case runs alone. A case that is run once and not limited in time is *text-only*: what it generates does not depend on what
//! runs beside it, as long as there is memory for all. Its claim is what it may take of each physical device: the budgets of its
//! logical devices and `max_memory`, else a guess from the size of its model's files. Where neither says anything, or a planner
//! is to go by what is free at the moment, it runs alone too: what runs beside it would change where its modules go.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use placebench_core::device::{DeviceId, DeviceKind};
use placebench_core::placement::DeviceMapRequest;
use placebench_core::record::CaseSpec;
use placebench_core::units::Bytes;

/// A model takes at most this many times the size of its files: 16-bit weights that are loaded in 32 bits take twice theirs.
const FILES_TO_MEMORY: u64 = 2;

/// Folders of a model are looked into this deep.
const DEEPEST: u32 = 2;

/// What a case needs to itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The whole machine.
    Alone,
    /// So much of each physical device.
    Shared(BTreeMap<DeviceId, Bytes>),
}

/// True where the times of a case are asked for.
pub(crate) fn is_measured(case: &CaseSpec) -> bool {
    let limits = case.expect.limits.as_ref();
    let is_limited = limits.is_some_and(|limits| {
        let times = [limits.load_s, limits.ttft_s, limits.tpot_s, limits.e2e_s, limits.hop_s];
        times.iter().any(Option::is_some)
    });
    case.audit.is_none() && (case.measure.repetitions > 1 || case.measure.first_look.is_some() || is_limited)
}

/// What a case needs to itself.
pub(crate) fn claim(case: &CaseSpec) -> Claim {
    if is_measured(case) {
        return Claim::Alone;
    }
    let request = &case.request;
    let mut devices: Vec<&DeviceId> = match &request.device_map {
        DeviceMapRequest::Single(device) => vec![device],
        DeviceMapRequest::Manual(map) => map.iter().map(|(_, device)| device).collect(),
        DeviceMapRequest::Strategy(_) | DeviceMapRequest::Optimal(_) => match &request.max_memory {
            Some(budgets) => budgets.iter().map(|(device, _)| device).collect(),
            None => case.devices.iter().map(|slice| &slice.id).collect(),
        },
        // What these take is not said anywhere.
        DeviceMapRequest::Ranks(_) | DeviceMapRequest::Stated(_) => return Claim::Alone,
    };
    devices.sort();
    devices.dedup();
    let mut claims: BTreeMap<DeviceId, Bytes> = BTreeMap::new();
    for device in devices {
        let slice = case.devices.iter().find(|slice| slice.id == *device);
        let physical = slice.map_or(device, |slice| &slice.on);
        if physical.kind() == DeviceKind::Disk {
            continue;
        }
        let budgets = request.max_memory.iter().flatten();
        let budget = budgets
            .filter(|(known, _)| known == device)
            .map(|(_, bytes)| *bytes)
            .min();
        let limits = [budget, slice.and_then(|slice| slice.memory_bytes)];
        let Some(bytes) = limits.into_iter().flatten().min().or_else(|| size_of_model(case)) else {
            return Claim::Alone;
        };
        let sum = claims.entry(physical.clone()).or_insert(Bytes(0));
        sum.0 = sum.0.saturating_add(bytes.0);
    }
    if claims.is_empty() {
        Claim::Alone
    } else {
        Claim::Shared(claims)
    }
}

/// What a model may take, by the size of its files; none where they are not here.
fn size_of_model(case: &CaseSpec) -> Option<Bytes> {
    let bytes = size_of(Path::new(case.model.path()?), DEEPEST)?;
    Some(Bytes(bytes.saturating_mul(FILES_TO_MEMORY)))
}

fn size_of(path: &Path, deep: u32) -> Option<u64> {
    // Files of a cache of models are links.
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_dir() {
        return Some(metadata.len());
    }
    if deep == 0 {
        return Some(0);
    }
    let entries = fs::read_dir(path).ok()?;
    let sizes = entries.filter_map(|entry| size_of(&entry.ok()?.path(), deep - 1));
    Some(sizes.fold(0, u64::saturating_add))
}

/// The attempts that are under way, and what they have claimed.
#[derive(Debug)]
pub(crate) struct Slots {
    most: usize,
    /// Memory of each physical device, where it is known.
    capacity: BTreeMap<DeviceId, Bytes>,
    running: Vec<(usize, Claim)>,
}

impl Slots {
    /// At most so many at a time.
    pub(crate) fn new(most: usize, capacity: BTreeMap<DeviceId, Bytes>) -> Self {
        Self {
            most: most.max(1),
            capacity,
            running: Vec::new(),
        }
    }

    /// How many are under way.
    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// Whether one with this claim may begin now. One that is alone always may, however much it claims: whether that is too
    /// much is for its worker to say.
    pub(crate) fn has_room_for(&self, claim: &Claim) -> bool {
        if self.running.is_empty() {
            return true;
        }
        let Claim::Shared(claims) = claim else {
            return false;
        };
        let fits = |(device, bytes): (&DeviceId, &Bytes)| {
            let taken = self.running.iter().filter_map(|(_, running)| match running {
                Claim::Shared(claims) => claims.get(device),
                Claim::Alone => None,
            });
            let (count, sum) = taken.fold((0, bytes.0), |(count, sum), taken| {
                (count + 1, sum.saturating_add(taken.0))
            });
            match self.capacity.get(device) {
                Some(capacity) => count == 0 || sum <= capacity.0,
                // Nobody knows how much there is: one at a time.
                None => count == 0,
            }
        };
        let is_alone = self.running.iter().any(|(_, running)| *running == Claim::Alone);
        self.running.len() < self.most && !is_alone && claims.iter().all(fits)
    }

    /// An attempt of this case begins.
    pub(crate) fn take(&mut self, case: usize, claim: Claim) {
        self.running.push((case, claim));
    }

    /// An attempt of this case has ended.
    pub(crate) fn give_back(&mut self, case: usize) {
        if let Some(at) = self.running.iter().position(|(running, _)| *running == case) {
            self.running.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use placebench_core::audit::AuditSpec;
    use placebench_core::device::LogicalDevice;
    use placebench_core::placement::StrategyName;
    use placebench_core::protocol::ModelSource;
    use placebench_core::record::Limits;
    use proptest::prelude::*;

    fn device(name: &str) -> DeviceId {
        DeviceId::new(name).unwrap()
    }

    /// A case run once, on slices of the host and of a card.
    fn case(map: DeviceMapRequest) -> CaseSpec {
        let mut case = fixture::case();
        case.measure.repetitions = 1;
        case.devices = [
            ("sim:0", "cpu", Some(5)),
            ("sim:1", "cpu", Some(7)),
            ("half:0", "cuda:0", None),
        ]
        .map(|(id, on, bytes)| LogicalDevice {
            id: device(id),
            on: device(on),
            memory_bytes: bytes.map(Bytes),
        })
        .into();
        case.request.device_map = map;
        case
    }

    fn shared(claims: &[(&str, u64)]) -> Claim {
        Claim::Shared(
            claims
                .iter()
                .map(|(name, bytes)| (device(name), Bytes(*bytes)))
                .collect(),
        )
    }

    #[test]
    fn what_is_timed_is_measured() {
        let single = || case(DeviceMapRequest::Single(device("sim:0")));
        assert!(!is_measured(&single()));
        let mut repeated = single();
        repeated.measure.repetitions = 2;
        assert!(is_measured(&repeated));
        repeated.audit = Some(AuditSpec::default());
        assert!(!is_measured(&repeated), "an audit is not timed");
        let mut limited = single();
        limited.expect.limits = Some(Limits::default());
        assert!(!is_measured(&limited), "memory may be limited beside others");
        limited.expect.limits = Some(Limits {
            tpot_s: Some(1.0),
            ..Limits::default()
        });
        assert!(is_measured(&limited));
        assert_eq!(claim(&limited), Claim::Alone);
    }

    #[test]
    fn budgets_are_claimed_from_what_they_lie_on() {
        let single = |name: &str| case(DeviceMapRequest::Single(device(name)));
        assert_eq!(claim(&single("sim:0")), shared(&[("cpu", 5)]));
        let manual = ["sim:0", "sim:1", "sim:0"].map(|name| (String::new(), device(name)));
        assert_eq!(
            claim(&case(DeviceMapRequest::Manual(manual.into()))),
            shared(&[("cpu", 12)])
        );
        let mut auto = case(DeviceMapRequest::Strategy(StrategyName::Auto));
        auto.request.max_memory = Some(vec![(device("sim:1"), Bytes(3)), (device("cuda:1"), Bytes(9))]);
        assert_eq!(claim(&auto), shared(&[("cpu", 3), ("cuda:1", 9)]));
    }

    #[test]
    fn without_budgets_the_files_of_the_model_are_a_guess_and_without_those_a_case_is_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("model.safetensors"), [0; 100]).unwrap();
        let mut single = case(DeviceMapRequest::Single(device("half:0")));
        single.model = ModelSource::Path(folder.path().to_str().unwrap().to_owned());
        assert_eq!(claim(&single), shared(&[("cuda:0", 200)]));
        single.model = ModelSource::Path(folder.path().join("nowhere").to_str().unwrap().to_owned());
        assert_eq!(claim(&single), Claim::Alone);
        let mut auto = case(DeviceMapRequest::Strategy(StrategyName::Auto));
        auto.devices.clear();
        assert_eq!(claim(&auto), Claim::Alone, "it goes by what is free");
    }

    #[test]
    fn budgets_that_exceed_a_device_together_are_not_taken_together() {
        let mut slots = Slots::new(8, [(DeviceId::cpu(), Bytes(10))].into());
        assert!(slots.has_room_for(&shared(&[("cpu", 99)])), "one alone always may");
        slots.take(0, shared(&[("cpu", 6)]));
        assert!(!slots.has_room_for(&shared(&[("cpu", 5)])));
        assert!(slots.has_room_for(&shared(&[("cpu", 4)])));
        assert!(slots.has_room_for(&shared(&[("cuda:0", 4)])));
        slots.take(1, shared(&[("cuda:0", 4)]));
        assert!(
            !slots.has_room_for(&shared(&[("cuda:0", 1)])),
            "how much it has is not known"
        );
        assert!(!slots.has_room_for(&Claim::Alone));
        slots.give_back(0);
        slots.give_back(1);
        slots.take(2, Claim::Alone);
        assert!(!slots.has_room_for(&shared(&[("cpu", 1)])));
    }

    proptest! {
        /// Whatever comes and goes, no device is promised to more than it holds, and nobody is beside one that is alone.
        #[test]
        fn nothing_is_promised_twice(jobs in 1_usize..5, asked in prop::collection::vec((0_u64..12, any::<bool>()), 1..40)) {
            let mut slots = Slots::new(jobs, [(DeviceId::cpu(), Bytes(10))].into());
            for (case, (bytes, ends)) in asked.into_iter().enumerate() {
                let wanted = if bytes == 0 { Claim::Alone } else { shared(&[("cpu", bytes)]) };
                if slots.has_room_for(&wanted) {
                    slots.take(case, wanted);
                }
                let sum: u64 = slots.running.iter().map(|(_, claim)| match claim {
                    Claim::Shared(claims) => claims[&DeviceId::cpu()].0,
                    Claim::Alone => 0,
                }).sum();
                let alone = slots.running.iter().any(|(_, claim)| *claim == Claim::Alone);
                prop_assert!(slots.running() <= jobs);
                prop_assert!(slots.running() < 2 || (sum <= 10 && !alone));
                if ends && let Some((first, _)) = slots.running.first().cloned() {
                    slots.give_back(first);
                }
            }
        }
    }
}
