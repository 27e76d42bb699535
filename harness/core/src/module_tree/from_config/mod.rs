//! Module trees from a configuration alone: what Transformers 4.49 builds from a `config.json`, without weights.
//!
//! Every family is one file that lists module paths, classes, registration order, tensors, buffers and ties as the
//! model classes of Transformers 4.49.0 register them, in float32. Sizes that shape the model must be in the
//! configuration; everything else has the default of the family's configuration class.

mod config;
mod decoder;
mod error;
mod gemma2;
mod gpt2;
mod growth;
mod llama;
mod mistral;
mod phi3;
mod qwen2;
mod qwen3;

use serde_json::Value;

use self::config::Config;
pub use self::error::ConfigTreeError;
use self::growth::Growth;
use super::ModuleTree;

/// A model family: how its tree is grown.
struct Family {
    /// `model_type` in the configuration.
    model_type: &'static str,
    /// The class of the whole model.
    root_class: &'static str,
    /// The class of a layer, which is never divided.
    layer_class: &'static str,
    /// The module that holds everything but the head. Weight files may leave it out of their names.
    base: &'static str,
    grow: fn(&Config<'_>, &mut Growth) -> Result<(), ConfigTreeError>,
}

static FAMILIES: [Family; 7] = [
    llama::FAMILY,
    qwen2::FAMILY,
    qwen3::FAMILY,
    mistral::FAMILY,
    phi3::FAMILY,
    gemma2::FAMILY,
    gpt2::FAMILY,
];

/// The `model_type` of every family that [`from_config()`] knows.
#[must_use]
pub fn supported_model_types() -> Vec<&'static str> {
    FAMILIES.iter().map(|family| family.model_type).collect()
}

/// The module tree that Transformers 4.49 would build from a `config.json`, in float32.
///
/// # Errors
/// When the family is not known, or a key is missing or wrong; the error names the key.
pub fn from_config(id: &str, config: &Value) -> Result<ModuleTree, ConfigTreeError> {
    let keys = Config::new(config)?;
    let family = family_of(&keys)?;
    let mut growth = Growth::new(id, family.root_class);
    (family.grow)(&keys, &mut growth)?;
    let builder = growth.into_builder();
    Ok(builder
        .config(Some(config.clone()))
        .no_split_classes([family.layer_class])
        .build()?)
}

/// The module that holds everything but the head, by its path.
pub(super) fn base_module(config: &Value) -> Result<&'static str, ConfigTreeError> {
    Ok(family_of(&Config::new(config)?)?.base)
}

fn family_of(config: &Config<'_>) -> Result<&'static Family, ConfigTreeError> {
    let model_type = config.required_text("model_type")?;
    FAMILIES
        .iter()
        .find(|family| family.model_type == model_type)
        .ok_or_else(|| ConfigTreeError::UnknownFamily {
            model_type: model_type.to_owned(),
            supported: supported_model_types(),
        })
}
