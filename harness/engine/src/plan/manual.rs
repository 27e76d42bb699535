//! Device maps that people write.

use std::collections::HashMap;

use placebench_core::device::DeviceId;
use placebench_core::module_tree::ModuleTree;

use super::PlanError;

const LAYERS: &str = "model.layers.";

/// A map with one key a module or container: ranges are written out, everything is known, nothing is given twice.
///
/// As in Hugging Face maps a key covers what is below it and the longest key wins, so `model` and `model.norm` together
/// are no contradiction.
pub(super) fn expand(
    map: &[(String, DeviceId)],
    tree: &ModuleTree,
    modules: &[String],
) -> Result<Vec<(String, DeviceId)>, PlanError> {
    let mut expanded = Vec::with_capacity(map.len());
    let mut named_by: HashMap<String, &str> = HashMap::new();
    for (key, device) in map {
        for module in names_of(key, tree, modules)? {
            if let Some(first) = named_by.insert(module.clone(), key) {
                return Err(PlanError::Overlap {
                    module,
                    first: first.to_owned(),
                    second: key.clone(),
                });
            }
            expanded.push((module, device.clone()));
        }
    }
    Ok(expanded)
}

/// The modules a key names: itself, or the layers of a range.
fn names_of(key: &str, tree: &ModuleTree, modules: &[String]) -> Result<Vec<String>, PlanError> {
    if let Some((first, last)) = range_of(key) {
        let bad = || PlanError::BadRange { key: key.to_owned() };
        let first: usize = first.parse().map_err(|_| bad())?;
        let last: usize = last.parse().map_err(|_| bad())?;
        if first > last {
            return Err(bad());
        }
        // The last one decides, and a range up to a huge number must not be written out to find that out.
        check_known(&format!("{LAYERS}{last}"), key, tree, modules)?;
        return Ok((first..=last).map(|layer| format!("{LAYERS}{layer}")).collect());
    }
    check_known(key, key, tree, modules)?;
    Ok(vec![key.to_owned()])
}

/// `model.layers.2-5` as `("2", "5")`.
fn range_of(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix(LAYERS)?.split_once('-')
}

fn check_known(name: &str, key: &str, tree: &ModuleTree, modules: &[String]) -> Result<(), PlanError> {
    let is_below = |part: &str, whole: &str| part.strip_prefix(whole).is_some_and(|rest| rest.starts_with('.'));
    let is_known = tree.module_index(name).is_some() || tree.tensor_index(name).is_some();
    if let Some(module) = modules.iter().find(|module| is_known && is_below(name, module)) {
        return Err(PlanError::InsideModule {
            key: key.to_owned(),
            module: module.clone(),
        });
    }
    if is_known {
        return Ok(());
    }
    let candidates = modules.iter().map(String::as_str).chain(["model", "model.layers"]);
    let nearest = candidates
        .map(|candidate| (strsim::damerau_levenshtein(candidate, name), candidate))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, candidate)| candidate.to_owned());
    Err(PlanError::UnknownModule {
        key: key.to_owned(),
        nearest,
        available: ranges(modules.iter()).join(", "),
    })
}

/// Module names with consecutive layers joined to ranges.
pub(super) fn ranges<'a>(modules: impl Iterator<Item = &'a String>) -> Vec<String> {
    enum Piece {
        Other(String),
        Layers(usize, usize),
    }
    let mut pieces: Vec<Piece> = Vec::new();
    for module in modules {
        let layer = module
            .strip_prefix(LAYERS)
            .and_then(|index| index.parse::<usize>().ok());
        match (layer, pieces.last_mut()) {
            (Some(layer), Some(Piece::Layers(_, last))) if *last + 1 == layer => *last = layer,
            (Some(layer), _) => pieces.push(Piece::Layers(layer, layer)),
            (None, _) => pieces.push(Piece::Other(module.clone())),
        }
    }
    let written = pieces.into_iter().map(|piece| match piece {
        Piece::Other(name) => name,
        Piece::Layers(first, last) if first == last => format!("{LAYERS}{first}"),
        Piece::Layers(first, last) => format!("{LAYERS}{first}-{last}"),
    });
    written.collect()
}
