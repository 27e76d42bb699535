use placebench_core::device::DeviceId;
use placebench_core::module_tree::{ModuleTree, TensorKind};
use placebench_core::placement::{Concurrency, DeviceMapRequest, Offload, PlacementRequest, StrategyName};
use placebench_core::planner::{DeviceRates, Mlp, ModelShape, Objective, Rates, Workload};
use placebench_core::units::Bytes;

use super::{Demand, Machine, PlanError, Resolved, resolve};

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
        concurrency: Default::default(),
    }
}

fn manual(map: &[(&str, &str)]) -> DeviceMapRequest {
    DeviceMapRequest::Manual(
        map.iter()
            .map(|(module, on)| ((*module).to_owned(), device(on)))
            .collect(),
    )
}

/// Tiny in everything but weights, so that those decide.
fn demand(rates: Option<&Rates<DeviceId>>) -> Demand<'_> {
    Demand {
        shape: ModelShape {
            layers: LAYERS as u64,
            hidden: 1,
            intermediate: 1,
            heads: 1,
            kv_heads: 1,
            head_dim: 1,
            vocab: 2,
            max_positions: 8,
            tied: true,
            mlp: Mlp::Gated,
        },
        workload: Workload::new(1, 1, 4),
        rates,
        hardware: &[],
    }
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
        &demand(None),
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
        resolved
            .planned
            .warnings
            .iter()
            .any(|text| text.contains("one tensor has several places")),
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
            .any(|text| text.contains("alone would do")),
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
        !tight
            .planned
            .warnings
            .iter()
            .any(|text| text.contains("alone would do")),
        "{:?}",
        tight.planned.warnings
    );
}

#[test]
fn a_spill_is_said_and_a_fit_is_not() {
    let spills = |budgets: &[(&str, u64)], max_memory: Option<&[(&str, u64)]>| {
        let resolved = run(
            DeviceMapRequest::Strategy(StrategyName::Sequential),
            max_memory,
            budgets,
        )
        .unwrap();
        let warned = resolved
            .planned
            .warnings
            .iter()
            .any(|text| text.contains("went to cpu although nobody asked for it"));
        (devices_of(&resolved).contains(&"cpu"), warned)
    };
    assert_eq!(spills(&[("sim:0", 2500)], None), (true, true));
    assert_eq!(spills(&[("sim:0", 8900)], None), (false, false));
    let named = [("sim:0", 2500), ("cpu", 99_999)];
    assert_eq!(
        spills(&[("sim:0", 9000)], Some(&named)),
        (true, false),
        "the host was named"
    );
}

#[test]
fn a_budget_above_the_device_is_said() {
    let warned = |bytes: u64| {
        let budgets = [("sim:0", bytes)];
        let resolved = run(
            DeviceMapRequest::Strategy(StrategyName::Auto),
            Some(&budgets),
            &[("sim:0", 9000)],
        )
        .unwrap();
        let mut warnings = resolved.planned.warnings.iter();
        warnings.any(|text| text.contains("max_memory allows"))
    };
    assert!(warned(9001));
    assert!(!warned(9000));
}

fn fast(flops_per_s: f64) -> DeviceRates {
    DeviceRates {
        memory_bytes_per_s: flops_per_s,
        flops_per_s,
        step_overhead_s: 0.0,
        layer_overhead_s: 0.0,
    }
}

fn optimal(max_memory: Option<&[(&str, u64)]>, rates: Option<&Rates<DeviceId>>) -> Result<Resolved, PlanError> {
    resolve(
        &request(DeviceMapRequest::Optimal(Objective::Tpot), max_memory),
        &machine(&[("sim:0", 9000), ("sim:1", 9000)]),
        &tied_tree(),
        &modules(),
        &demand(rates),
    )
}

#[test]
fn optimal_follows_the_rates_and_foretells_them() {
    let mut rates = Rates {
        devices: vec![(device("sim:0"), fast(1e6)), (device("sim:1"), fast(1e9))],
        ..Rates::default()
    };
    let resolved = optimal(None, Some(&rates)).unwrap();
    assert_eq!(devices_of(&resolved), ["sim:1"; 7]);
    let forecast = resolved.planned.forecast.unwrap();
    assert_eq!(forecast.objective, Some(Objective::Tpot));
    assert_eq!(forecast.prediction.unwrap().tpot.stages.len(), 1);
    rates.devices.reverse();
    rates.devices.push((device("sim:0"), fast(1e12)));
    let resolved = optimal(None, Some(&rates)).unwrap();
    assert_eq!(
        devices_of(&resolved),
        ["sim:0"; 7],
        "the faster one, whatever its number"
    );
}

#[test]
fn optimal_without_rates_says_that_it_assumes_and_foretells_no_time() {
    let resolved = optimal(Some(&[("sim:0", 3000), ("sim:1", 3000)]), None).unwrap();
    let planned = resolved.planned;
    assert!(
        planned.warnings.iter().any(|text| text.contains("count as equal")),
        "{:?}",
        planned.warnings
    );
    let forecast = planned.forecast.unwrap();
    assert_eq!(forecast.prediction, None);
    assert_eq!(forecast.footprint.hops_per_token, 1);
}

#[test]
fn optimal_refuses_what_does_not_fit_and_names_the_deficit() {
    let error = optimal(Some(&[("sim:0", 1200), ("sim:1", 1200)]), None).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("are missing in all"), "{message}");
    // The budgets of the request do not exceed what is there.
    let error = optimal(Some(&[("sim:0", 99_999)]), None);
    assert!(error.is_ok(), "{error:?}");
    let error = optimal(Some(&[("cpu", 10)]), None).unwrap_err();
    assert!(error.to_string().contains("are missing in all"), "{error}");
}

#[test]
fn what_optimal_has_weighed_is_not_advised_against() {
    let mut rates = Rates {
        devices: vec![(device("sim:0"), fast(1e6)), (device("sim:1"), fast(1e12))],
        ..Rates::default()
    };
    rates.default_link.latency_s = 0.0;
    let budgets = [("sim:0", 9000), ("sim:1", 2500)];
    let resolved = optimal(Some(&budgets), Some(&rates)).unwrap();
    let advised = |resolved: &Resolved| {
        let mut warnings = resolved.planned.warnings.iter();
        warnings.any(|text| text.contains("alone would do"))
    };
    assert!(devices_of(&resolved).contains(&"sim:1"), "{:?}", resolved.modules);
    assert!(!advised(&resolved), "{:?}", resolved.planned.warnings);
    let auto = run(DeviceMapRequest::Strategy(StrategyName::Auto), Some(&budgets), &budgets).unwrap();
    assert!(advised(&auto), "{:?}", auto.planned.warnings);
}

#[test]
fn nothing_is_foretold_of_modules_that_run_where_their_weights_are_not() {
    let foretold = |last: &str, offload: Offload| {
        let map = manual(&[("model", "sim:0"), ("lm_head", "sim:0"), ("model.layers.3", last)]);
        let request = PlacementRequest {
            offload,
            ..request(map, None)
        };
        let machine = machine(&[("sim:0", 9000), ("cpu", 9000)]);
        let resolved = resolve(&request, &machine, &tied_tree(), &modules(), &demand(None)).unwrap();
        resolved.planned.forecast.is_some()
    };
    assert!(foretold("cpu", Offload::Execute));
    assert!(!foretold("cpu", Offload::Stream));
    assert!(!foretold("disk", Offload::Execute));
    assert!(foretold("sim:0", Offload::Stream));
}

#[test]
fn no_time_is_foretold_of_stages_that_overlap() {
    let rates = Rates::default();
    let times = |concurrency: Concurrency| {
        let request = PlacementRequest {
            concurrency,
            ..request(DeviceMapRequest::Single(device("sim:0")), None)
        };
        let machine = machine(&[("sim:0", 9000)]);
        let resolved = resolve(&request, &machine, &tied_tree(), &modules(), &demand(Some(&rates))).unwrap();
        resolved.planned.forecast.unwrap().prediction.is_some()
    };
    assert!(times(Concurrency::Single));
    assert!(times(Concurrency::Batch(2)));
    assert!(!times(Concurrency::InFlight(2)));
}
