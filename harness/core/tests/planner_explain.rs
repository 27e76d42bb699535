//! Explanations of real plans, word by word.

use std::fs;
use std::path::Path;

use placebench_core::module_tree::{ModuleTree, TensorKind};
use placebench_core::placement::StrategyName;
use placebench_core::planner::{
    Dialect, ExplanationStep, Flow, MemoryLimit, PlanDevice, PlanError, PlanRequest, TrialOutcome, expand_to_modules,
    explain, plan,
};

fn tree(name: &str) -> ModuleTree {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/accelerate/models");
    let text = fs::read_to_string(folder.join(format!("{name}.json"))).expect("a golden tree");
    serde_json::from_str(&text).expect("a golden tree")
}

fn request(strategy: StrategyName, budgets: &[(PlanDevice, u64)]) -> PlanRequest {
    let limits = budgets
        .iter()
        .map(|&(device, bytes)| (device, MemoryLimit::from(bytes)));
    PlanRequest {
        max_memory: Some(limits.collect()),
        dtype: Some("float16".into()),
        ..PlanRequest::new(strategy)
    }
}

const GIB: u64 = 1 << 30;

fn three_gpus() -> PlanRequest {
    let gpu = |index| (PlanDevice::Accelerator(index), 8 * GIB);
    request(
        StrategyName::Auto,
        &[gpu(0), gpu(1), gpu(2), (PlanDevice::Cpu, 32 * GIB)],
    )
}

#[test]
fn a_layer_that_closes_a_device() {
    let tree = tree("llama-3.1-8b");
    let answer = plan(&tree, &three_gpus()).unwrap();
    let second = answer
        .device_map
        .iter()
        .find(|(_, device)| *device == PlanDevice::Accelerator(1))
        .unwrap();
    let explanation = explain(&tree, &three_gpus(), &second.0).unwrap();
    let closes = |step: &ExplanationStep| matches!(step, ExplanationStep::Tried { trial, result: TrialOutcome::DeviceClosed } if trial.entry == second.0);
    assert!(explanation.steps.iter().any(closes));
    insta::assert_snapshot!(explanation);
}

#[test]
fn a_tied_head_follows_the_embedding() {
    let two = [
        (PlanDevice::Accelerator(0), 4 * GIB),
        (PlanDevice::Accelerator(1), 4 * GIB),
    ];
    let explanation = explain(
        &tree("qwen2.5-3b-instruct"),
        &request(StrategyName::Auto, &two),
        "lm_head",
    )
    .unwrap();
    insta::assert_snapshot!(explanation);
}

/// Every module's explanation must end on the device that the plan gives it, whatever the request.
#[test]
fn explanations_end_where_the_plan_puts_the_module() {
    let gpu = |index, mib: u64| (PlanDevice::Accelerator(index), mib << 20);
    let budgets: [&[(PlanDevice, u64)]; 3] = [
        &[gpu(0, 100), gpu(1, 60), (PlanDevice::Cpu, 50 << 20)],
        &[gpu(0, 10), gpu(1, 300)],
        &[(PlanDevice::Cpu, 1 << 30)],
    ];
    for name in [
        "gpt2",
        "smollm2-135m-instruct",
        "three-way-tie",
        "shared-module",
        "nested-no-split",
    ] {
        let tree = tree(name);
        for budgets in budgets {
            for (dialect, flow) in [
                (Dialect::Accelerate, Flow::Transformers),
                (Dialect::Accelerate, Flow::Accelerate),
                (Dialect::Transformers5, Flow::Transformers),
            ] {
                let request = PlanRequest {
                    dialect,
                    flow,
                    fallback_allocation: true,
                    ..request(StrategyName::BalancedLow0, budgets)
                };
                let answer = plan(&tree, &request).unwrap();
                for (path, device) in expand_to_modules(&tree, &answer.device_map) {
                    let explanation = explain(&tree, &request, path).unwrap();
                    let placed_on = explanation.steps.iter().rev().find_map(|step| match step {
                        ExplanationStep::Tried {
                            trial,
                            result: TrialOutcome::Placed,
                        } => Some(trial.device),
                        _ => None,
                    });
                    if let Some(device) = device {
                        assert_eq!(placed_on, Some(device), "{name} {path}\n{explanation}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_second_path_is_explained_by_the_first() {
    let tree = ModuleTree::builder("t", "Net")
        .module("a", "Linear")
        .module("b", "Linear")
        .tensor("a.w", TensorKind::Param, "float32", [2])
        .tensor("b.w", TensorKind::Param, "float32", [2])
        .same_modules(vec![("b".into(), "a".into())])
        .build()
        .unwrap();
    let request = request(StrategyName::Sequential, &[(PlanDevice::Cpu, 1000)]);
    let explanation = explain(&tree, &request, "b.w").unwrap().to_string();
    assert!(explanation.starts_with("1. `b.w` is the same module as `a.w`, under which it is placed.\n"));
    assert_eq!(
        explain(&tree, &request, "c"),
        Err(PlanError::UnknownModule { module: "c".into() })
    );
}
