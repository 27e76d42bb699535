//! Where the modules of a distributed configuration are: every rank holds its own, and all of them work at once.

use placebench_core::protocol::RealisedModule;
use placebench_core::units::Bytes;

use super::device_use::DeviceUseView;
use super::modules::ModuleView;
use super::words::line;

/// What comes between the device of a lane and the rank it belongs to.
const OF_RANK: &str = " (rank ";

/// `cuda:0 (rank 0)`.
fn lane(module: &RealisedModule) -> String {
    let device = line(module.device.as_str());
    module
        .rank
        .map_or(device.clone(), |rank| format!("{device}{OF_RANK}{rank})"))
}

/// A module stands once, in the lane of every rank that holds it or a part of it.
pub(super) fn modules(realised: &[RealisedModule]) -> Vec<ModuleView> {
    let mut modules: Vec<ModuleView> = Vec::new();
    for module in realised {
        let name = line(&module.module);
        let lane = lane(module);
        match modules.iter_mut().find(|known| known.module == name) {
            Some(known) => {
                if let Some(lanes) = known
                    .realised
                    .as_mut()
                    .filter(|lanes| !super::modules::names(lanes, &lane))
                {
                    lanes.push_str(" + ");
                    lanes.push_str(&lane);
                }
                known.bytes = known.bytes.max(Some(module.bytes));
            }
            None => modules.push(ModuleView {
                module: name,
                requested: None,
                resolved: None,
                realised: Some(lane),
                runs_on: None,
                bytes: Some(module.bytes),
                size: String::new(),
                differs: false,
            }),
        }
    }
    for module in &mut modules {
        module.size = module.bytes.map(|bytes| bytes.to_string()).unwrap_or_default();
    }
    modules
}

/// A lane for each rank and device, with what the rank holds there.
pub(super) fn lanes(realised: &[RealisedModule], devices: &[String]) -> Vec<DeviceUseView> {
    let mut lanes: Vec<(Option<u32>, String, Bytes)> = Vec::new();
    for module in realised {
        let name = lane(module);
        match lanes.iter_mut().find(|(_, known, _)| *known == name) {
            Some((_, _, bytes)) => *bytes = [*bytes, module.bytes].into_iter().sum(),
            None => lanes.push((module.rank, name, module.bytes)),
        }
    }
    lanes.sort_by_key(|(rank, _, _)| *rank);
    let one = |(_, device, bytes): (Option<u32>, String, Bytes)| DeviceUseView {
        colour: colour(&device, devices),
        device,
        weights: Some(bytes),
        cache: None,
        budget: None,
        weights_words: bytes.to_string(),
        cache_words: String::new(),
        budget_words: String::new(),
        is_planned: false,
        is_over: false,
        words: bytes.to_string(),
    };
    lanes.into_iter().map(one).collect()
}

/// The position of a device, or of that of a lane, among those of the run.
pub(super) fn colour(device: &str, devices: &[String]) -> usize {
    let device = device.split_once(OF_RANK).map_or(device, |(device, _)| device);
    devices.iter().position(|known| known == device).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use placebench_core::device::DeviceId;

    fn held(rank: u32, module: &str, device: &str, bytes: u64) -> RealisedModule {
        RealisedModule {
            module: module.into(),
            device: DeviceId::new(device).unwrap(),
            bytes: Bytes(bytes),
            rank: Some(rank),
        }
    }

    #[test]
    fn every_rank_has_a_lane_and_a_module_stands_once() {
        let realised = [
            held(1, "a", "cuda:1", 100),
            held(1, "b", "cuda:1", 30),
            held(0, "a", "cuda:0", 100),
            held(0, "b", "cuda:0", 31),
        ];
        let of_module: Vec<(String, Option<String>)> = modules(&realised)
            .into_iter()
            .map(|module| (module.module, module.realised))
            .collect();
        let both = Some("cuda:1 (rank 1) + cuda:0 (rank 0)".to_owned());
        assert_eq!(of_module, [("a".to_owned(), both.clone()), ("b".to_owned(), both)]);
        let devices = ["cuda:0", "cuda:1"].map(ToOwned::to_owned);
        let lanes = lanes(&realised, &devices);
        let told: Vec<(&str, usize, Option<Bytes>)> = lanes
            .iter()
            .map(|lane| (lane.device.as_str(), lane.colour, lane.weights))
            .collect();
        assert_eq!(
            told,
            [
                ("cuda:0 (rank 0)", 0, Some(Bytes(131))),
                ("cuda:1 (rank 1)", 1, Some(Bytes(130)))
            ]
        );
    }
}
