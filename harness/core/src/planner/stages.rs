//! Stages: what runs on one device before the activation moves on.

use serde::{Deserialize, Serialize};

use super::resolve::DeviceMap;

/// A maximal run of consecutive modules on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage<D> {
    /// The device of all of them.
    pub device: D,
    /// The modules' paths, in the order in which they run.
    pub modules: Vec<String>,
}

/// Cuts modules, given in the order in which they run, into stages. Between two stages lies one hop.
#[must_use]
pub fn stages<D: Clone + PartialEq>(modules: &[(String, D)]) -> Vec<Stage<D>> {
    let runs = modules.chunk_by(|(_, a), (_, b)| a == b);
    runs.filter_map(|run| {
        let (_, device) = run.first()?;
        Some(Stage {
            device: device.clone(),
            modules: run.iter().map(|(path, _)| path.clone()).collect(),
        })
    })
    .collect()
}

/// Gives the modules of a decoder their devices from a map; `None` for the first module that no key covers.
///
/// `modules` are paths in the order in which they run, such as `model.embed_tokens`, `model.layers.0` …, `lm_head`.
#[must_use]
pub fn along<D: Clone>(modules: &[String], map: &[(String, D)]) -> Option<Vec<(String, D)>> {
    let map = DeviceMap::new(map);
    let devices = modules
        .iter()
        .map(|path| Some((path.clone(), map.device_of(path)?.clone())));
    devices.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_become_stages() {
        let modules = ["embed", "layers.0", "layers.1", "norm", "head"].map(str::to_owned);
        let map: Vec<(String, u8)> = [("", 0), ("layers.0", 1), ("layers.1", 1)]
            .map(|(key, device)| (key.to_owned(), device))
            .into();
        let placed = along(&modules, &map).unwrap();
        let shown: Vec<(u8, usize)> = stages(&placed).iter().map(|s| (s.device, s.modules.len())).collect();
        assert_eq!(shown, [(0, 1), (1, 2), (0, 2)]);
        assert_eq!(along(&modules, &map[1..]), None);
        assert_eq!(stages::<u8>(&[]), []);
    }
}
