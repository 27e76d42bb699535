//! Which of the machine's GPUs a case may use.

use std::collections::BTreeSet;

use placebench_core::device::{DeviceId, DeviceKind, LogicalDevice};
use placebench_core::placement::{DeviceMapRequest, PlacementRequest};

/// The CUDA devices a request may use, by the numbers CUDA gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CudaUse {
    /// Those with these numbers; none where there are no numbers.
    Only(BTreeSet<usize>),
    /// Whatever a planner finds.
    Any,
}

/// A GPU as the driver's management library knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GpuId<'a> {
    /// Its number by bus.
    pub(crate) index: u32,
    /// `GPU-…`.
    pub(crate) uuid: &'a str,
}

/// How CUDA numbers the GPUs of the machine for a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CudaOrder {
    /// `CUDA_VISIBLE_DEVICES`, split at its commas.
    visible: Option<Vec<String>>,
    /// CUDA counts by bus, as the driver's library does.
    by_bus: bool,
}

impl CudaUse {
    /// What a request names, with logical devices resolved to what they are slices of.
    pub(crate) fn of(logical: &[LogicalDevice], placement: &PlacementRequest) -> Self {
        let numbers = |devices: &mut dyn Iterator<Item = &DeviceId>| {
            let physical = devices.map(|device| {
                let slice = logical.iter().find(|slice| slice.id == *device);
                slice.map_or(device, |slice| &slice.on).kind()
            });
            let number = |kind| match kind {
                DeviceKind::Cuda(number) => Some(number),
                DeviceKind::Cpu | DeviceKind::Disk | DeviceKind::Metal(_) | DeviceKind::Logical => None,
            };
            Self::Only(physical.filter_map(number).collect())
        };
        match &placement.device_map {
            DeviceMapRequest::Single(device) => numbers(&mut std::iter::once(device)),
            DeviceMapRequest::Manual(map) => numbers(&mut map.iter().map(|(_, device)| device)),
            DeviceMapRequest::Strategy(_) | DeviceMapRequest::Optimal(_) => match &placement.max_memory {
                Some(budgets) => numbers(&mut budgets.iter().map(|(device, _)| device)),
                None if logical.is_empty() => Self::Any,
                None => numbers(&mut logical.iter().map(|slice| &slice.id)),
            },
            DeviceMapRequest::Ranks(_) | DeviceMapRequest::Stated(_) => Self::Any,
        }
    }

    /// No CUDA device can be meant.
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::Only(numbers) if numbers.is_empty())
    }

    /// Whether a GPU may be meant. Where CUDA's numbers cannot be told from here, it may.
    pub(crate) fn may_be(&self, gpu: GpuId<'_>, order: &CudaOrder) -> bool {
        match self {
            Self::Any => true,
            Self::Only(numbers) => numbers.iter().any(|number| order.may_be(*number, gpu)),
        }
    }
}

impl CudaOrder {
    /// The order a worker sees: by what its case sets, else what it inherits. GPUs of one model are counted by bus either
    /// way.
    pub(crate) fn of(case_env: &[(String, String)], one_model: bool) -> Self {
        let variable = |name: &str| {
            let set = case_env.iter().rev().find(|(known, _)| known == name);
            set.map(|(_, value)| value.clone()).or_else(|| std::env::var(name).ok())
        };
        let split = |list: String| list.split(',').map(|entry| entry.trim().to_owned()).collect();
        Self {
            visible: variable("CUDA_VISIBLE_DEVICES").map(split),
            by_bus: one_model || variable("CUDA_DEVICE_ORDER").as_deref() == Some("PCI_BUS_ID"),
        }
    }

    fn may_be(&self, number: usize, gpu: GpuId<'_>) -> bool {
        let by_number = |number: usize| !self.by_bus || u32::try_from(number) == Ok(gpu.index);
        let Some(visible) = &self.visible else {
            return by_number(number);
        };
        let Some(entry) = visible.get(number) else {
            return false;
        };
        match entry.parse() {
            Ok(number) => by_number(number),
            // The beginning of an identity is enough for CUDA. Parts of a GPU (MIG) have identities of their own.
            Err(_) => !entry.starts_with("GPU-") || gpu.uuid.starts_with(entry.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use placebench_core::placement::StrategyName;
    use placebench_core::units::Bytes;

    fn device(name: &str) -> DeviceId {
        DeviceId::new(name).unwrap()
    }

    fn used(device_map: DeviceMapRequest, budgets: Option<&[&str]>, logical: &[(&str, &str)]) -> CudaUse {
        let budget = |name: &&str| (device(name), Bytes(1));
        let placement = PlacementRequest {
            device_map,
            max_memory: budgets.map(|names| names.iter().map(budget).collect()),
            ..fixture::case().request
        };
        let slice = |(id, on): &(&str, &str)| LogicalDevice {
            id: device(id),
            on: device(on),
            memory_bytes: None,
        };
        CudaUse::of(&logical.iter().map(slice).collect::<Vec<_>>(), &placement)
    }

    fn only(numbers: &[usize]) -> CudaUse {
        CudaUse::Only(numbers.iter().copied().collect())
    }

    #[test]
    fn requests_name_their_devices() {
        let auto = || DeviceMapRequest::Strategy(StrategyName::Auto);
        let single = |name| DeviceMapRequest::Single(device(name));
        assert_eq!(used(single("cuda:1"), None, &[]), only(&[1]));
        assert_eq!(used(single("half:0"), None, &[("half:0", "cuda:2")]), only(&[2]));
        assert_eq!(used(auto(), None, &[]), CudaUse::Any);
        assert_eq!(
            used(auto(), None, &[("half:0", "cuda:0"), ("sim:0", "cpu")]),
            only(&[0])
        );
        assert_eq!(used(auto(), Some(&["cuda:0", "cuda:3", "cpu"]), &[]), only(&[0, 3]));
        assert!(used(single("cpu"), None, &[("half:0", "cuda:0")]).is_none());
        assert!(used(auto(), None, &[("sim:0", "cpu")]).is_none());
        assert!(!used(auto(), None, &[]).is_none());
    }

    #[test]
    fn numbers_of_cuda_lead_to_cards() {
        let cards = [0, 1, 2].map(|index| (index, format!("GPU-{index}{index}")));
        let meant = |visible: Option<&str>, by_bus: bool, number: usize| -> Vec<u32> {
            let order = CudaOrder {
                visible: visible.map(|list| list.split(',').map(str::to_owned).collect()),
                by_bus,
            };
            let may_be = |(index, uuid): &&(u32, String)| only(&[number]).may_be(GpuId { index: *index, uuid }, &order);
            cards.iter().filter(may_be).map(|(index, _)| *index).collect()
        };
        assert_eq!(meant(None, true, 1), [1]);
        assert_eq!(meant(None, false, 1), [0, 1, 2], "CUDA may count the fastest first");
        assert_eq!(meant(Some("2,0"), true, 0), [2]);
        assert_eq!(meant(Some("GPU-1,GPU-22"), false, 1), [2]);
        assert_eq!(
            meant(Some("MIG-7"), true, 0),
            [0, 1, 2],
            "parts of cards cannot be told apart"
        );
        assert_eq!(meant(Some("2"), true, 1), [0; 0], "this worker sees one card only");
    }

    #[test]
    fn a_case_overrides_what_it_inherits() {
        let env = |value: &str| vec![("CUDA_VISIBLE_DEVICES".to_owned(), value.to_owned())];
        let order = CudaOrder::of(&env("1, 0"), true);
        assert_eq!(order.visible, Some(vec!["1".to_owned(), "0".to_owned()]));
        assert!(order.by_bus);
    }
}
