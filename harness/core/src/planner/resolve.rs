//! Reading a device map: which device a module or tensor has.

use std::collections::{HashMap, HashSet};

use super::device::MapDevice;
use crate::module_tree::ModuleTree;

/// A device map made ready for look-ups.
///
/// A name belongs to the longest key that is the name itself or a dotted prefix of it; `""` comes last. Where a key
/// occurs twice the last one wins.
#[derive(Debug, Clone)]
pub struct DeviceMap<'a, D> {
    device_of_key: HashMap<&'a str, &'a D>,
}

impl<'a, D> DeviceMap<'a, D> {
    /// Indexes the pairs of a map.
    #[must_use]
    pub fn new(pairs: &'a [(String, D)]) -> Self {
        Self {
            device_of_key: pairs.iter().map(|(key, device)| (key.as_str(), device)).collect(),
        }
    }

    /// The device of a module or tensor, if any key covers it.
    #[must_use]
    pub fn device_of(&self, name: &str) -> Option<&'a D> {
        let mut key = name;
        loop {
            if let Some(device) = self.device_of_key.get(key) {
                return Some(device);
            }
            if key.is_empty() {
                return None;
            }
            key = key.rsplit_once('.').map_or("", |(above, _)| above);
        }
    }
}

/// The device of every tensor, in the tree's order; `None` where no key covers it.
#[must_use]
pub fn expand_to_tensors<'t, D: Clone>(tree: &'t ModuleTree, map: &[(String, D)]) -> Vec<(&'t str, Option<D>)> {
    let map = DeviceMap::new(map);
    let tensors = tree.tensors().iter();
    tensors
        .map(|tensor| (tensor.name.as_str(), map.device_of(&tensor.name).cloned()))
        .collect()
}

/// The device of every module, in the tree's order; `None` where no key covers it.
///
/// A module that the map divides belongs to no key itself and is `None`, unless a key above it covers the rest.
#[must_use]
pub fn expand_to_modules<'t, D: Clone>(tree: &'t ModuleTree, map: &[(String, D)]) -> Vec<(&'t str, Option<D>)> {
    let map = DeviceMap::new(map);
    let modules = tree.modules().iter();
    modules
        .map(|module| (module.path.as_str(), map.device_of(&module.path).cloned()))
        .collect()
}

/// Stored tensors that no key covers: a dispatcher refuses such a map.
pub(super) fn not_covered<D>(tree: &ModuleTree, map: &DeviceMap<'_, D>) -> Vec<String> {
    let mut modules = vec![false; tree.modules().len()];
    let mut tensors = HashSet::new();
    for key in map.device_of_key.keys() {
        if let Some(covered) = tree.module_index(key).and_then(|module| modules.get_mut(module)) {
            *covered = true;
        } else if let Some(tensor) = tree.tensor_index(key) {
            tensors.insert(tensor);
        }
    }
    let mut names = Vec::new();
    for module in 0..modules.len() {
        let is_covered = |module: usize| modules.get(module) == Some(&true);
        // Parents come first, so a module above has its answer already.
        if is_covered(module) || tree.parent(module).is_some_and(is_covered) {
            if let Some(covered) = modules.get_mut(module) {
                *covered = true;
            }
            continue;
        }
        let direct = tree.direct_params(module).iter().chain(tree.direct_buffers(module));
        let missing = direct.filter(|tensor| !tensors.contains(tensor));
        let missing = missing.filter_map(|&tensor| tree.tensors().get(tensor));
        names.extend(
            missing
                .filter(|tensor| tensor.kind.is_stored())
                .map(|tensor| tensor.name.clone()),
        );
    }
    names
}

/// All names, with their devices, of tie groups whose names are on more than one device.
pub(super) fn tied_on_different_devices<D: MapDevice>(tree: &ModuleTree, map: &DeviceMap<'_, D>) -> Vec<(String, D)> {
    let mut split = Vec::new();
    for group in tree.tied() {
        let devices: Vec<(String, D)> = group
            .iter()
            .filter_map(|name| Some((name.clone(), map.device_of(name)?.clone())))
            .collect();
        if devices
            .windows(2)
            .any(|pair| matches!(pair, [(_, a), (_, b)] if a != b))
        {
            split.extend(devices);
        }
    }
    split
}

/// Where offloaded layers run, and what is offloaded.
pub(super) struct Dispatch<D> {
    /// The first device of the map that is neither `cpu` nor `disk`.
    pub(super) accelerator: Option<D>,
    /// The map has more than one device, so something moves at run time.
    pub(super) hooks: bool,
    /// Keys whose weights are fetched for each forward pass: with an accelerator all on `cpu` and `disk`, otherwise
    /// those on `disk`; none where everything is on one device.
    pub(super) offloaded: Vec<String>,
}

impl<D: MapDevice> Dispatch<D> {
    pub(super) fn of(map: &[(String, D)]) -> Self {
        let accelerator = map
            .iter()
            .map(|(_, device)| device)
            .find(|device| !device.is_cpu() && !device.is_disk());
        let hooks = map.windows(2).any(|pair| matches!(pair, [(_, a), (_, b)] if a != b));
        let is_offloaded = |device: &D| hooks && (device.is_disk() || accelerator.is_some() && device.is_cpu());
        Self {
            hooks,
            offloaded: map
                .iter()
                .filter(|(_, device)| is_offloaded(device))
                .map(|(key, _)| key.clone())
                .collect(),
            accelerator: accelerator.cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_key_wins() {
        let pairs: Vec<(String, String)> = [("", "disk"), ("a.b", "x:0"), ("a", "cpu"), ("a.b", "x:1")]
            .map(|(key, device)| (key.to_owned(), device.to_owned()))
            .into();
        let map = DeviceMap::new(&pairs);
        let device = |name: &str| map.device_of(name).map(String::as_str);
        assert_eq!(device("a.b.weight"), Some("x:1"));
        assert_eq!(device("a.bc"), Some("cpu"));
        assert_eq!(device("c"), Some("disk"));
        assert_eq!(DeviceMap::new(&pairs[1..]).device_of("c"), None);
    }
}
