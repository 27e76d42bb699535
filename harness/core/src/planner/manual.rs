//! Device maps and single devices that a user gives.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::device::MapDevice;
use super::resolve::{DeviceMap, Dispatch, not_covered, tied_on_different_devices};
use crate::module_tree::{ModuleTree, TensorKind};

/// What a user's device map means for a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManualAnswer<D> {
    /// Stored tensors without a device; buffers that no file holds may be without one.
    pub not_covered: Vec<String>,
    /// Keys that name no module and no tensor of the model. Accelerate 1.4.0 ignores them, 1.15.0 warns.
    pub unknown_keys: Vec<String>,
    /// Runs of parameters on one device, in the tree's order; parameters without a device are in no run.
    pub resolved_runs: Vec<ParameterRun<D>>,
    /// Where offloaded layers run and outputs arrive: the first device of the map that is neither `cpu` nor `disk`.
    /// `None`: there is no such device, so that is the host.
    pub main_device: Option<D>,
    /// Whether there is more than one device, so that something moves at run time.
    pub hooks: bool,
    /// Keys whose weights are fetched for each forward pass.
    pub offloaded: Vec<String>,
    /// Names, with their devices, of tied parameters that the map tears apart. Not an error in the reference.
    pub tied_on_different_devices: Vec<(String, D)>,
    /// Everything is on disk, where nothing can run.
    pub is_all_on_disk: bool,
}

/// Consecutive parameters on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterRun<D> {
    /// Name of the first parameter.
    pub first: String,
    /// Name of the last parameter.
    pub last: String,
    /// Their device.
    pub device: D,
}

/// Why a user's device map or single device is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManualError {
    /// Stored tensors have no device.
    #[error("the device map gives no device for {}", listed(names))]
    NotCovered {
        /// The tensors' names.
        names: Vec<String>,
    },
    /// The whole model is on disk; Accelerate 1.4.0 refuses this, 1.15.0 does not.
    #[error("the whole model is on disk, where nothing can run")]
    AllOnDisk,
    /// A text that is neither a strategy nor a device.
    #[error("`{text}` is neither a device nor one of the strategies auto, balanced, balanced_low_0, sequential")]
    NotADevice {
        /// The text as given.
        text: String,
    },
    /// An index below zero.
    #[error("device index {index} is negative; to use the host's memory, say `cpu`")]
    NegativeIndex {
        /// The index as given.
        index: i64,
    },
}

/// The first few names, and how many more there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl<D> ManualAnswer<D> {
    /// The answer itself, unless a dispatcher would refuse the map.
    ///
    /// # Errors
    /// When stored tensors have no device, or everything is on disk.
    pub fn accepted(self) -> Result<Self, ManualError> {
        if !self.not_covered.is_empty() {
            return Err(ManualError::NotCovered {
                names: self.not_covered,
            });
        }
        if self.is_all_on_disk {
            return Err(ManualError::AllOnDisk);
        }
        Ok(self)
    }
}

/// Says what a user's map means (the rules are Accelerate 1.4.0's). Never fails; see [`ManualAnswer::accepted`].
#[must_use]
pub fn resolve_manual<D: MapDevice>(tree: &ModuleTree, pairs: &[(String, D)]) -> ManualAnswer<D> {
    let map = DeviceMap::new(pairs);
    let dispatch = Dispatch::of(pairs);
    let is_known = |key: &str| tree.module_index(key).is_some() || tree.tensor_index(key).is_some();
    ManualAnswer {
        not_covered: not_covered(tree, &map),
        unknown_keys: pairs
            .iter()
            .filter(|(key, _)| !is_known(key))
            .map(|(key, _)| key.clone())
            .collect(),
        resolved_runs: parameter_runs(tree, &map),
        main_device: dispatch.accelerator,
        hooks: dispatch.hooks,
        offloaded: dispatch.offloaded,
        tied_on_different_devices: tied_on_different_devices(tree, &map),
        is_all_on_disk: !pairs.is_empty() && pairs.iter().all(|(_, device)| device.is_disk()),
    }
}

fn parameter_runs<D: MapDevice>(tree: &ModuleTree, map: &DeviceMap<'_, D>) -> Vec<ParameterRun<D>> {
    let mut runs: Vec<ParameterRun<D>> = Vec::new();
    let mut is_open = false;
    for tensor in tree.tensors().iter().filter(|tensor| tensor.kind == TensorKind::Param) {
        let Some(device) = map.device_of(&tensor.name) else {
            is_open = false;
            continue;
        };
        match runs.last_mut().filter(|run| is_open && run.device == *device) {
            Some(run) => run.last.clone_from(&tensor.name),
            None => runs.push(ParameterRun {
                first: tensor.name.clone(),
                last: tensor.name.clone(),
                device: device.clone(),
            }),
        }
        is_open = true;
    }
    runs
}

/// Device types of PyTorch 2.6.
const TORCH_DEVICE_TYPES: [&str; 20] = [
    "cpu",
    "cuda",
    "ipu",
    "xpu",
    "mkldnn",
    "opengl",
    "opencl",
    "ideep",
    "hip",
    "ve",
    "fpga",
    "maia",
    "xla",
    "lazy",
    "vulkan",
    "mps",
    "meta",
    "hpu",
    "mtia",
    "privateuseone",
];

/// Checks a single device given as a text: a PyTorch device type, perhaps with `:index`.
///
/// Strategy names are no devices; a caller looks for them first.
///
/// # Errors
/// When the text is no device.
pub fn check_torch_device(text: &str) -> Result<&str, ManualError> {
    let (kind, index) = text
        .split_once(':')
        .map_or((text, None), |(kind, index)| (kind, Some(index)));
    let is_index = |index: &str| {
        let is_number = !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit());
        is_number && (index == "0" || !index.starts_with('0')) && index.parse::<i8>().is_ok()
    };
    if TORCH_DEVICE_TYPES.contains(&kind) && index.is_none_or(is_index) {
        return Ok(text);
    }
    Err(ManualError::NotADevice { text: text.to_owned() })
}

/// Checks a single device given as a number: the index of an accelerator.
///
/// # Errors
/// When the index is negative or beyond 32 bits.
pub fn check_device_index(index: i64) -> Result<u32, ManualError> {
    if index < 0 {
        return Err(ManualError::NegativeIndex { index });
    }
    u32::try_from(index).map_err(|_| ManualError::NotADevice {
        text: index.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_are_checked() {
        for text in ["cpu", "cuda", "cuda:1", "mps", "meta", "xpu:0"] {
            assert_eq!(check_torch_device(text), Ok(text));
        }
        for text in [
            "", "gpu", "disk", "cuda:", "cuda:x", "cuda:-1", "cuda:01", "Auto", "cuda:0:0",
        ] {
            assert!(check_torch_device(text).is_err(), "{text}");
        }
        assert_eq!(check_device_index(2), Ok(2));
        assert_eq!(check_device_index(-1), Err(ManualError::NegativeIndex { index: -1 }));
    }

    #[test]
    fn refusals_name_the_tensors() {
        let names = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        let text = ManualError::NotCovered { names }.to_string();
        assert_eq!(text, "the device map gives no device for `a`, `b`, `c` and 2 more");
    }
}
