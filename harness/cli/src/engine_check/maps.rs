//! Device maps for a model of which the engine has told the modules.

use placebench_core::device::DeviceId;

/// What the path of a layer begins with.
const LAYERS: &str = "model.layers.";

/// Modules by name, and runs of layers as ranges: `model.layers.0-3`.
pub(crate) fn written(modules: &[String], device: &DeviceId) -> Vec<(String, DeviceId)> {
    let mut keys: Vec<String> = Vec::new();
    let mut run: Option<(u32, u32)> = None;
    for module in modules {
        let layer: Option<u32> = module.strip_prefix(LAYERS).and_then(|index| index.parse().ok());
        match (layer, &mut run) {
            (Some(layer), Some((_, last))) if layer == *last + 1 => *last = layer,
            (layer, _) => {
                keys.extend(run.map(key_of_run));
                run = layer.map(|layer| (layer, layer));
                if layer.is_none() {
                    keys.push(module.clone());
                }
            }
        }
    }
    keys.extend(run.map(key_of_run));
    keys.into_iter().map(|key| (key, device.clone())).collect()
}

fn key_of_run((first, last): (u32, u32)) -> String {
    match first == last {
        true => format!("{LAYERS}{first}"),
        false => format!("{LAYERS}{first}-{last}"),
    }
}

/// The head, which in many models is the embedding's own tensor: apart from it some engines cannot run them.
const HEAD: &str = "lm_head";

/// The first half of the modules on one device, the others on the other, and the head beside the embedding.
pub(crate) fn halves(modules: &[String], first: &DeviceId, second: &DeviceId) -> Vec<(String, DeviceId)> {
    let (front, back) = modules.split_at(modules.len() / 2);
    let (head, back): (Vec<String>, Vec<String>) = back.iter().cloned().partition(|module| module == HEAD);
    let mut map = written(front, first);
    map.extend(written(&back, second));
    map.extend(written(&head, first));
    map
}

/// Where a map puts a module: the longest key that names it or something it is part of decides.
pub(crate) fn device_of<'a>(map: &'a [(String, DeviceId)], module: &str) -> Option<&'a DeviceId> {
    map.iter()
        .filter_map(|(key, device)| Some((reach(key, module)?, device)))
        .max_by_key(|(length, _)| *length)
        .map(|(_, device)| device)
}

/// The length of a key, a range counting as the key of the one layer; none where it does not cover the module.
fn reach(key: &str, module: &str) -> Option<usize> {
    if key.is_empty() || module == key || module.starts_with(&format!("{key}.")) {
        return Some(key.len());
    }
    let (first, last) = key.strip_prefix(LAYERS)?.split_once('-')?;
    let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
    let layer = module.strip_prefix(LAYERS)?;
    let layer = layer.split_once('.').map_or(layer, |(layer, _)| layer);
    let is_in = (first..=last).contains(&layer.parse().ok()?);
    is_in.then_some(LAYERS.len() + layer.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> DeviceId {
        DeviceId::new(name).unwrap()
    }

    fn modules() -> Vec<String> {
        let names = [
            "model.embed_tokens",
            "model.layers.0",
            "model.layers.1",
            "model.layers.2",
            "model.norm",
            "lm_head",
        ];
        names.map(str::to_owned).to_vec()
    }

    #[test]
    fn halves_are_written_with_ranges() {
        let map = halves(&modules(), &device("sim:0"), &device("sim:1"));
        let written: Vec<String> = map.iter().map(|(key, on)| format!("{key}={on}")).collect();
        assert_eq!(
            written,
            [
                "model.embed_tokens=sim:0",
                "model.layers.0-1=sim:0",
                "model.layers.2=sim:1",
                "model.norm=sim:1",
                "lm_head=sim:0"
            ]
        );
        for (index, module) in modules().iter().enumerate() {
            let expected = if index < 3 || index == 5 { "sim:0" } else { "sim:1" };
            assert_eq!(device_of(&map, module), Some(&device(expected)), "{module}");
        }
    }

    #[test]
    fn the_longest_key_decides() {
        let map = [
            (String::new(), device("cpu")),
            ("model.layers.0-9".to_owned(), device("sim:0")),
            ("model.layers.1".to_owned(), device("sim:1")),
            ("model".to_owned(), device("sim:2")),
        ];
        let on = |module: &str| device_of(&map, module).unwrap().to_string();
        assert_eq!((on("lm_head"), on("model.norm")), ("cpu".into(), "sim:2".into()));
        assert_eq!(
            (on("model.layers.10"), on("model.layers.9.mlp")),
            ("sim:2".into(), "sim:0".into())
        );
        assert_eq!(device_of(&[], "lm_head"), None);
        assert_eq!(
            device_of(&[("model.layers.1".to_owned(), device("cpu"))], "model.layers.10"),
            None
        );
    }
}
