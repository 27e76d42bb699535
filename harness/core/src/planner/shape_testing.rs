//! A small decoder whose numbers can be checked by hand, for unit tests.

use super::footprint_workload::Workload;
use super::predict_rates::{DeviceRates, LinkRates, Rates};
use super::shape::{Mlp, ModelShape};
use super::shape_decoder::{Decoder, execution_order};
use crate::module_tree::{ModuleTree, TensorKind};

/// Embedding and head of 3200 bytes, layers of 768, a norm of 32.
pub(super) fn tree(layers: u64, is_tied: bool) -> ModuleTree {
    let mut builder = ModuleTree::builder("t", "Net").no_split_classes(["Block"]);
    let mut add = |module: &str, class: &str, tensors: &[(&str, [u64; 2])]| {
        builder.push_module(module, class);
        for (name, shape) in tensors {
            builder.push_tensor(format!("{module}.{name}"), TensorKind::Param, "float32", *shape, None);
        }
    };
    add("model", "Model", &[]);
    add("model.embed_tokens", "Embedding", &[("weight", [100, 8])]);
    add("model.layers", "ModuleList", &[]);
    for layer in 0..layers {
        let block = format!("model.layers.{layer}");
        add(&block, "Block", &[]);
        add(&format!("{block}.attn"), "Linear", &[("weight", [8, 8])]);
        add(&format!("{block}.mlp"), "Linear", &[("weight", [8, 16])]);
    }
    add("model.norm", "Norm", &[("weight", [8, 1])]);
    add("lm_head", "Linear", &[("weight", [100, 8])]);
    if is_tied {
        builder = builder.tie(["model.embed_tokens.weight", "lm_head.weight"]);
    }
    builder.build().unwrap()
}

pub(super) fn shape(layers: u64, is_tied: bool) -> ModelShape {
    ModelShape {
        layers,
        hidden: 8,
        intermediate: 16,
        heads: 2,
        kv_heads: 1,
        head_dim: 4,
        vocab: 100,
        max_positions: 1000,
        tied: is_tied,
        mlp: Mlp::Gated,
    }
}

pub(super) fn decoder(layers: u64, is_tied: bool) -> Decoder {
    let tree = tree(layers, is_tied);
    Decoder::new(&tree, &execution_order(&tree), shape(layers, is_tied), None).unwrap()
}

/// Ten tokens in, ten out, in float32.
pub(super) fn workload() -> Workload {
    Workload::new(10, 10, 4)
}

/// A megabyte and a million operations in a second; 100 us a stage, 10 us a layer; hops take a millisecond and a
/// microsecond per byte.
pub(super) fn slow_rates() -> Rates<&'static str> {
    Rates {
        default_device: DeviceRates {
            memory_bytes_per_s: 1e6,
            flops_per_s: 1e6,
            step_overhead_s: 1e-4,
            layer_overhead_s: 1e-5,
        },
        default_link: LinkRates {
            latency_s: 1e-3,
            bytes_per_s: 1e6,
        },
        ..Rates::default()
    }
}

/// A map from keys to devices.
pub(super) fn map<const N: usize>(pairs: [(&str, &'static str); N]) -> Vec<(String, &'static str)> {
    pairs.map(|(key, device)| (key.to_owned(), device)).into()
}
