//! Devices that did not recover from an attempt, and the cases that are not run because of them.
//!
//! A GPU whose memory did not come back would fail every later case, or slow it, for a reason that is not the case's own.
//! The host is never put aside: nothing could be run without it, so what a process keeps there is on record only.

use placebench_core::device::DeviceKind;
use placebench_core::outcome::Outcome;
use placebench_core::record::{Attempt, CaseSpec};
use placebench_core::units::{Bytes, human_seconds};

use crate::devices::{CudaOrder, CudaUse, GpuId};

/// What a person can do about a device that is put aside.
const HINT: &str = "see who holds the device (nvidia-smi, ps), end that process, reset the device or restart the machine, and \
                    start a new run";

/// The devices that are put aside for the rest of a run.
#[derive(Debug, Default)]
pub(crate) struct Quarantine(Vec<Lost>);

/// A device that did not recover.
#[derive(Debug)]
struct Lost {
    device: LostDevice,
    reason: String,
}

#[derive(Debug)]
enum LostDevice {
    Gpu {
        index: u32,
        uuid: String,
        one_model: bool,
    },
    /// What the case named, where the driver does not tell: CUDA and Metal devices.
    Named {
        cuda: CudaUse,
        metal: bool,
    },
}

impl Quarantine {
    /// What the attempts on record have left behind.
    pub(crate) fn after(attempts: &[Attempt], cases: &[CaseSpec]) -> Self {
        let mut quarantine = Self::default();
        for attempt in attempts {
            quarantine.take(attempt, cases);
        }
        quarantine
    }

    /// Puts aside what an attempt has left behind.
    pub(crate) fn take(&mut self, attempt: &Attempt, cases: &[CaseSpec]) {
        let Some(recovery) = attempt.recovery.as_ref().filter(|recovery| !recovery.is_complete()) else {
            return;
        };
        let whose = format!(
            "{} after attempt {} of {}",
            human_seconds(recovery.after_s),
            attempt.attempt,
            attempt.case
        );
        let one_model = attempt.gpus.windows(2).all(|pair| pair[0].name == pair[1].name);
        for gpu in recovery.gpus.iter().filter(|gpu| !gpu.recovered) {
            let known = |lost: &Lost| matches!(&lost.device, LostDevice::Gpu { index, .. } if *index == gpu.index);
            if self.0.iter().any(known) {
                continue;
            }
            let why = match (gpu.before_bytes, gpu.after_bytes) {
                (Some(before), Some(after)) if after > before => {
                    let held = Bytes(after.0 - before.0);
                    format!("{held} more of its memory was in use {whose} than before it ({after} instead of {before})")
                }
                (_, None) => format!("the driver did not answer {whose}"),
                (_, Some(_)) => format!("a process that cannot be ended was still there {whose}"),
            };
            self.0.push(Lost {
                device: LostDevice::Gpu {
                    index: gpu.index,
                    uuid: gpu.uuid.clone(),
                    one_model,
                },
                reason: format!("GPU {} ({}) is quarantined for this run: {why}", gpu.index, gpu.name),
            });
        }
        let case = cases.iter().find(|case| case.case == attempt.case);
        if let Some(case) = case.filter(|_| recovery.gpus.is_empty()) {
            self.take_named(case, &whose);
        }
    }

    /// Nobody tells about the devices, but a process that cannot be ended holds those its case named.
    fn take_named(&mut self, case: &CaseSpec, whose: &str) {
        let (cuda, metal) = (CudaUse::of(&case.devices, &case.request), may_use_metal(case));
        if cuda.is_none() && !metal {
            return;
        }
        self.0.push(Lost {
            device: LostDevice::Named { cuda, metal },
            reason: format!(
                "its device is quarantined for this run: a process that cannot be ended was still there {whose}"
            ),
        });
    }

    /// Why a case is not run, as the outcome of its attempt.
    pub(crate) fn skip_reason(&self, case: &CaseSpec) -> Option<Outcome> {
        let cuda = CudaUse::of(&case.devices, &case.request);
        let uses = |lost: &&Lost| match &lost.device {
            LostDevice::Gpu { index, uuid, one_model } => {
                let order = CudaOrder::of(&case.env, *one_model);
                cuda.may_be(GpuId { index: *index, uuid }, &order)
            }
            LostDevice::Named { cuda: lost, metal } => {
                let meets = match (lost, &cuda) {
                    (CudaUse::Only(lost), CudaUse::Only(own)) => !lost.is_disjoint(own),
                    (CudaUse::Any, other) | (other, CudaUse::Any) => !other.is_none(),
                };
                meets || (*metal && may_use_metal(case))
            }
        };
        self.0.iter().find(uses).map(|lost| Outcome::Skipped {
            reason: lost.reason.clone(),
            hint: Some(HINT.to_owned()),
        })
    }
}

/// Names a Metal device, or has a slice of one.
fn may_use_metal(case: &CaseSpec) -> bool {
    use placebench_core::placement::DeviceMapRequest;
    let is_metal = |device: &placebench_core::device::DeviceId| {
        let slice = case.devices.iter().find(|slice| slice.id == *device);
        matches!(slice.map_or(device, |slice| &slice.on).kind(), DeviceKind::Metal(_))
    };
    match &case.request.device_map {
        DeviceMapRequest::Single(device) => is_metal(device),
        DeviceMapRequest::Manual(map) => map.iter().any(|(_, device)| is_metal(device)),
        DeviceMapRequest::Strategy(_) | DeviceMapRequest::Optimal(_) => {
            let budgets = case.request.max_memory.iter().flatten();
            budgets.map(|(device, _)| device).any(is_metal)
                || (case.request.max_memory.is_none() && case.devices.iter().any(|slice| is_metal(&slice.id)))
        }
        DeviceMapRequest::Ranks(_) | DeviceMapRequest::Stated(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::supervisor::attempt_without_process;
    use placebench_core::device::DeviceId;
    use placebench_core::evidence::{GpuRecovery, Recovery};
    use placebench_core::placement::DeviceMapRequest;

    fn on(device: &str) -> CaseSpec {
        let mut case = fixture::case();
        case.request.device_map = DeviceMapRequest::Single(DeviceId::new(device).unwrap());
        case.env = vec![
            ("CUDA_VISIBLE_DEVICES".to_owned(), "0,1".to_owned()),
            ("CUDA_DEVICE_ORDER".to_owned(), "PCI_BUS_ID".to_owned()),
        ];
        case
    }

    fn left(case: &CaseSpec, recovery: Recovery) -> Attempt {
        Attempt {
            recovery: Some(recovery),
            ..attempt_without_process(case, 0, String::new(), Outcome::Completed)
        }
    }

    fn gpu(index: u32, after: Option<u64>, recovered: bool) -> GpuRecovery {
        GpuRecovery {
            index,
            uuid: format!("GPU-{index}"),
            name: "Card".to_owned(),
            before_bytes: Some(Bytes(1 << 30)),
            after_bytes: after.map(Bytes),
            recovered,
        }
    }

    fn reason(quarantine: &Quarantine, case: &CaseSpec) -> Option<String> {
        quarantine.skip_reason(case).map(|outcome| outcome.sentence())
    }

    #[test]
    fn only_the_card_that_did_not_recover_is_put_aside() {
        let case = on("cuda:1");
        let recovery = Recovery {
            after_s: 5.0,
            gpus: vec![gpu(0, Some(1 << 30), true), gpu(1, Some(6 << 30), false)],
            ..Recovery::default()
        };
        let attempts = [left(&case, recovery)];
        let quarantine = Quarantine::after(&attempts, std::slice::from_ref(&case));
        assert_eq!(
            reason(&quarantine, &case).as_deref(),
            Some(
                "GPU 1 (Card) is quarantined for this run: 5.00 GiB more of its memory was in use 5.00 s after attempt 0 of \
                 smoke/story/single than before it (6.00 GiB instead of 1.00 GiB)"
            )
        );
        assert_eq!(reason(&quarantine, &on("cuda:0")), None);
        assert_eq!(reason(&quarantine, &on("cpu")), None);
    }

    #[test]
    fn a_driver_that_is_silent_is_no_recovery() {
        let case = on("cuda:0");
        let recovery = Recovery {
            gpus: vec![gpu(0, None, false)],
            ..Recovery::default()
        };
        let quarantine = Quarantine::after(&[left(&case, recovery)], &[]);
        assert!(
            reason(&quarantine, &case)
                .unwrap()
                .contains("the driver did not answer")
        );
    }

    #[test]
    fn without_a_driver_the_named_devices_of_an_immortal_process_are_put_aside() {
        let stuck = || Recovery {
            processes_left: 1,
            ..Recovery::default()
        };
        for (device, same, other) in [("cuda:0", "cuda:0", "cuda:1"), ("metal:0", "metal:0", "cpu")] {
            let case = on(device);
            let quarantine = Quarantine::after(&[left(&case, stuck())], std::slice::from_ref(&case));
            assert!(reason(&quarantine, &on(same)).unwrap().contains("cannot be ended"));
            assert_eq!(reason(&quarantine, &on(other)), None);
        }
        let host = on("cpu");
        let quarantine = Quarantine::after(&[left(&host, stuck())], std::slice::from_ref(&host));
        assert_eq!(reason(&quarantine, &host), None, "the host is never put aside");
    }

    #[test]
    fn what_came_back_puts_nothing_aside() {
        let case = on("cuda:0");
        let recovery = Recovery {
            gpus: vec![gpu(0, Some(1 << 30), true)],
            ..Recovery::default()
        };
        let quarantine = Quarantine::after(&[left(&case, recovery)], std::slice::from_ref(&case));
        assert_eq!(reason(&quarantine, &case), None);
    }
}
