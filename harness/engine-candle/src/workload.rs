//! The request as the planner counts it.

use placebench_core::device::DeviceKind;
use placebench_core::module_tree::ModuleTree;
use placebench_core::outcome::FailureClass;
use placebench_core::planner::{Attention, ModelShape, Workload};
use placebench_core::protocol::{DeviceFacts, WorkerRequest};

use crate::error::EngineError;
use crate::session::Found;
use crate::weights::Compute;

/// The dimensions of the model.
pub(crate) fn shape_of(tree: &ModuleTree) -> Result<ModelShape, EngineError> {
    let config = tree.config().unwrap_or(&serde_json::Value::Null);
    ModelShape::from_config(config).map_err(|error| EngineError::Files {
        class: FailureClass::ModelInvalid,
        message: format!("the configuration does not say how large the model's caches are: {error}"),
    })
}

/// The request as the planner counts it: this decoder makes logits of the last position only, repeats no keys, and on the
/// host stores no scores.
pub(crate) fn workload(request: &WorkerRequest, found: &Found, compute: Compute) -> Workload {
    let element = compute.activations().size_in_bytes() as u64;
    // Prompts of different lengths count as long as the longest.
    let lengths = found.companion_ids.iter().map(Vec::len).chain([found.input_ids.len()]);
    let mut workload = Workload::new(
        lengths.max().unwrap_or(1) as u64,
        u64::from(request.generation.max_new_tokens),
        element,
    );
    let config = &found.checkpoint.config;
    let has_one_pass = config.block.attention_softcap.is_none() && config.windows.iter().all(Option::is_none);
    let is_on_host = |facts: &DeviceFacts| facts.on.kind() == DeviceKind::Cpu;
    let all_on_host = found.devices.facts().iter().all(is_on_host);
    let is_single_precision = compute.activations() == candle_core::DType::F32;
    workload.attention = if has_one_pass && all_on_host && is_single_precision {
        Attention::Fused
    } else {
        Attention::Grouped
    };
    workload.batch = u64::from(request.placement.concurrency.sequences());
    workload
}
