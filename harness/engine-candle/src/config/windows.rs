//! Sliding windows in `config.json`: which layers see only so many of the last positions.

use super::ModelConfig;
use super::error::ConfigError;
use super::json::Object;
use crate::shown::shown;

const FULL: &str = "full_attention";
const SLIDING: &str = "sliding_attention";

/// For families without windows: nothing may ask for one by `layer_types`.
pub(super) fn none(json: &Object, model: &mut ModelConfig) -> Result<(), ConfigError> {
    model.windows = vec![None; model.num_layers];
    let types = json.texts("layer_types")?.unwrap_or_default();
    match types.iter().find(|name| **name != FULL) {
        Some(other) => Err(unknown(json, other)),
        None => Ok(()),
    }
}

/// As Qwen2 has it: a window that has to be switched on, from layer `max_window_layers` on. Published configurations
/// give a window and switch it off.
pub(super) fn switched(json: &Object, model: &mut ModelConfig) -> Result<(), ConfigError> {
    let window = if json.flag("use_sliding_window", false)? {
        json.size_unless_null("sliding_window", 4_096)?
    } else {
        None
    };
    let first = json.size_or("max_window_layers", 28)?;
    set(json, model, window, |layer| layer >= first)
}

/// This window on the layers that `layer_types` (transformers 5) names, or on those that `has_window` names.
pub(super) fn set(
    json: &Object,
    model: &mut ModelConfig,
    window: Option<usize>,
    has_window: impl Fn(usize) -> bool,
) -> Result<(), ConfigError> {
    let by_rule = |layer: usize| window.filter(|_| has_window(layer));
    let Some(types) = json.texts("layer_types")? else {
        model.windows = (0..model.num_layers).map(by_rule).collect();
        return Ok(());
    };
    if types.len() != model.num_layers {
        return Err(json.implausible(format!(
            "layer_types has {} entries for {} layers",
            types.len(),
            model.num_layers
        )));
    }
    model.windows = types
        .into_iter()
        .map(|name| match (name, window) {
            (FULL, _) => Ok(None),
            (SLIDING, Some(window)) => Ok(Some(window)),
            (SLIDING, None) => Err(json.missing("sliding_window")),
            (other, _) => Err(unknown(json, other)),
        })
        .collect::<Result<_, _>>()?;
    Ok(())
}

fn unknown(json: &Object, name: &str) -> ConfigError {
    json.feature(format!("attention of the type `{}` (layer_types)", shown(name)))
}
