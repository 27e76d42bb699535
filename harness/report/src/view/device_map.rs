//! What a device map says of a module.

use placebench_core::device::DeviceId;

/// The device a map gives a module: that of its longest prefix, or all devices of its parts where the map cuts deeper.
pub(super) fn lookup(map: &[(String, DeviceId)], module: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for (path, device) in map {
        if !module.is_empty()
            && path.strip_prefix(module).is_some_and(|rest| rest.starts_with('.'))
            && !parts.contains(&device.as_str())
        {
            parts.push(device.as_str());
        }
    }
    if !parts.is_empty() {
        return Some(parts.join(" + "));
    }
    map.iter()
        .filter(|(path, _)| covers(path, module))
        .max_by_key(|(path, _)| path.len())
        .map(|(_, device)| device.to_string())
}

/// True where `path` is the module, one of its ancestors, or a range `prefix.A-B` that holds it.
fn covers(path: &str, module: &str) -> bool {
    if path.is_empty() || path == module || module.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')) {
        return true;
    }
    let range = path.rsplit_once('.').and_then(|(prefix, last)| {
        let (from, to) = last.split_once('-')?;
        let index = module.strip_prefix(prefix)?.strip_prefix('.')?.split('.').next()?;
        Some((
            from.parse::<u32>().ok()?,
            to.parse::<u32>().ok()?,
            index.parse::<u32>().ok()?,
        ))
    });
    range.is_some_and(|(from, to, index)| (from..=to).contains(&index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> Vec<(String, DeviceId)> {
        entries
            .iter()
            .map(|(path, device)| ((*path).to_owned(), DeviceId::new(device).unwrap()))
            .collect()
    }

    #[test]
    fn maps_answer_for_modules() {
        let map = map(&[
            ("", "cpu"),
            ("model.layers.0-1", "sim:0"),
            ("model.layers.1", "sim:1"),
            ("model.layers.3.mlp", "sim:2"),
            ("model.layers.3.attn", "sim:1"),
        ]);
        for (module, device) in [
            ("lm_head", "cpu"),
            ("model.layers.0", "sim:0"),
            // The range is the longer text, but both name layer 1; a manual map that says so twice is refused earlier.
            ("model.layers.2", "cpu"),
            ("model.layers.10", "cpu"),
            ("model.layers.3", "sim:2 + sim:1"),
            ("model.layers.3.mlp.up", "sim:2"),
        ] {
            assert_eq!(lookup(&map, module).as_deref(), Some(device), "{module}");
        }
        assert_eq!(lookup(&[], "x"), None);
    }
}
