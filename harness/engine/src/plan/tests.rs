use placebench_core::device::DeviceId;
use placebench_core::module_tree::{ModuleTree, TensorKind};
use placebench_core::placement::{DeviceMapRequest, PlacementRequest, StrategyName};
use placebench_core::units::Bytes;

use super::{Machine, PlanError, Resolved, resolve};

const LAYERS: usize = 4;

fn modules() -> Vec<String> {
    let layers = (0..LAYERS).map(|layer| format!("model.layers.{layer}"));
    std::iter::once("model.embed_tokens".to_owned())
        .chain(layers)
        .chain(["model.norm".to_owned(), "lm_head".to_owned()])
        .collect()
}

/// Embedding and head are one tensor of 400 bytes; each layer has 1000.
fn tied_tree() -> ModuleTree {
    let mut tree = ModuleTree::builder("t", "T")
        .no_split_classes(["Layer"])
        .module("model", "M")
        .module("model.embed_tokens", "Embedding")
        .module("model.layers", "ModuleList");
    for layer in 0..LAYERS {
        tree.push_module(format!("model.layers.{layer}"), "Layer");
    }
    tree.push_module("model.norm", "Norm");
    tree.push_module("lm_head", "Linear");
    tree.push_tensor(
        "model.embed_tokens.weight",
        TensorKind::Param,
        "float32",
        vec![100],
        None,
    );
    for layer in 0..LAYERS {
        tree.push_tensor(
            format!("model.layers.{layer}.weight"),
            TensorKind::Param,
            "float32",
            vec![250],
            None,
        );
    }
    tree.push_tensor("model.norm.weight", TensorKind::Param, "float32", vec![10], None);
    tree.push_tensor("lm_head.weight", TensorKind::Param, "float32", vec![100], None);
    tree.tie(["model.embed_tokens.weight", "lm_head.weight"])
        .build()
        .unwrap()
}

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

fn machine(budgets: &[(&str, u64)]) -> Machine {
    Machine {
        devices: budgets
            .iter()
            .map(|(name, bytes)| (device(name), Some(Bytes(*bytes))))
            .collect(),
        gpus: Vec::new(),
        host_bytes: Some(Bytes(1 << 30)),
    }
}

fn request(device_map: DeviceMapRequest, max_memory: Option<&[(&str, u64)]>) -> PlacementRequest {
    PlacementRequest {
        device_map,
        max_memory: max_memory.map(|budgets| {
            budgets
                .iter()
                .map(|(name, bytes)| (device(name), Bytes(*bytes)))
                .collect()
        }),
        transfer: Default::default(),
        offload: Default::default(),
        planner: Default::default(),
    }
}

fn manual(map: &[(&str, &str)]) -> DeviceMapRequest {
    DeviceMapRequest::Manual(
        map.iter()
            .map(|(module, on)| ((*module).to_owned(), device(on)))
            .collect(),
    )
}

fn run(
    device_map: DeviceMapRequest,
    max_memory: Option<&[(&str, u64)]>,
    budgets: &[(&str, u64)],
) -> Result<Resolved, PlanError> {
    resolve(
        &request(device_map, max_memory),
        &machine(budgets),
        &tied_tree(),
        &modules(),
    )
}

fn devices_of(resolved: &Resolved) -> Vec<&str> {
    resolved.modules.iter().map(|(_, device)| device.as_str()).collect()
}

#[test]
fn a_manual_map_with_ranges_places_every_module() {
    let map = [
        ("model.embed_tokens", "sim:0"),
        ("model.layers.0-1", "sim:0"),
        ("model.layers.2-3", "sim:1"),
        ("model.norm", "sim:1"),
        ("lm_head", "sim:1"),
    ];
    let resolved = run(manual(&map), None, &[("sim:0", 9000), ("sim:1", 9000)]).unwrap();
    assert_eq!(
        devices_of(&resolved),
        ["sim:0", "sim:0", "sim:0", "sim:1", "sim:1", "sim:1", "sim:1"]
    );
    let weights: Vec<u64> = resolved
        .planned
        .weights_bytes
        .iter()
        .map(|entry| entry.bytes.0)
        .collect();
    // The tied tensor is needed on both devices.
    assert_eq!(weights, [2400, 2440]);
    assert!(
        resolved.planned.warnings.iter().any(|text| text.contains("one tensor")),
        "{:?}",
        resolved.planned.warnings
    );
}

#[test]
fn what_a_map_gets_wrong_is_named() {
    let whole = ("model", "sim:0");
    let head = ("lm_head", "sim:0");
    let budgets = [("sim:0", 9000)];
    let message = |map: &[(&str, &str)]| run(manual(map), None, &budgets).unwrap_err().to_string();
    assert!(run(manual(&[whole, head]), None, &budgets).is_ok());
    insta::assert_snapshot!(message(&[whole]), @"the device map gives no device for lm_head; there are: model.embed_tokens, model.layers.0-3, model.norm, lm_head");
    insta::assert_snapshot!(message(&[whole, head, ("model.layer.1", "sim:0")]), @"the device map names `model.layer.1`, which is no module of the model (did you mean `model.layers.1`?); there are: model.embed_tokens, model.layers.0-3, model.norm, lm_head");
    insta::assert_snapshot!(message(&[whole, head, ("model.layers.2-9", "sim:0")]), @"the device map names `model.layers.2-9`, which is no module of the model (did you mean `model.layers.0`?); there are: model.embed_tokens, model.layers.0-3, model.norm, lm_head");
    insta::assert_snapshot!(message(&[whole, head, ("model.layers.3-2", "sim:0")]), @"the device map names `model.layers.3-2`: a range of layers is written `model.layers.FIRST-LAST` with FIRST not above LAST");
    insta::assert_snapshot!(message(&[whole, head, ("model.layers.0-2", "sim:0"), ("model.layers.2-3", "sim:0")]), @"the device map gives model.layers.2 twice: by `model.layers.0-2` and by `model.layers.2-3`");
    insta::assert_snapshot!(message(&[whole, head, ("model.layers.1.weight", "sim:0")]), @"the device map names `model.layers.1.weight`, a part of model.layers.1, which is placed as a whole: name model.layers.1 instead");
}

#[test]
fn auto_spreads_and_says_when_one_device_would_do() {
    let budgets = [("sim:0", 9000), ("sim:1", 9000)];
    let resolved = run(DeviceMapRequest::Strategy(StrategyName::Auto), None, &budgets).unwrap();
    assert!(devices_of(&resolved).contains(&"sim:0") && devices_of(&resolved).contains(&"sim:1"));
    assert!(
        resolved
            .planned
            .warnings
            .iter()
            .any(|text| text.contains("would fit on")),
        "{:?}",
        resolved.planned.warnings
    );
    let tight = run(
        DeviceMapRequest::Strategy(StrategyName::Auto),
        None,
        &[("sim:0", 4000), ("sim:1", 4000)],
    )
    .unwrap();
    assert!(
        !tight.planned.warnings.iter().any(|text| text.contains("would fit on")),
        "{:?}",
        tight.planned.warnings
    );
}

#[test]
fn a_spill_is_said_and_a_fit_is_not() {
    let sequential = || DeviceMapRequest::Strategy(StrategyName::Sequential);
    let spilled = run(
        sequential(),
        Some(&[("sim:0", 2500), ("cpu", 99_999)]),
        &[("sim:0", 9000)],
    )
    .unwrap();
    assert!(devices_of(&spilled).contains(&"cpu"));
    assert!(
        spilled.planned.warnings.iter().any(|text| text.contains("went to cpu")),
        "{:?}",
        spilled.planned.warnings
    );
    let fits = run(
        sequential(),
        Some(&[("sim:0", 8900), ("cpu", 99_999)]),
        &[("sim:0", 9000)],
    )
    .unwrap();
    assert!(
        !fits.planned.warnings.iter().any(|text| text.contains("went to")),
        "{:?}",
        fits.planned.warnings
    );
}
