//! Where the modules of a mock model go.

use placebench_core::device::{DeviceId, DeviceKind, LogicalDevice};
use placebench_core::module_tree::ModuleTree;
use placebench_core::outcome::{FailureClass, Hop, WorkerFailure};
use placebench_core::planner::Workload;
use placebench_core::protocol::{DeviceFacts, WorkerRequest};
use placebench_core::units::Bytes;

use super::model::{MockModel, tokens};
use crate::Context;
use crate::plan::{self, Demand, Machine, Resolved};

pub(super) fn facts(devices: &[LogicalDevice]) -> Vec<DeviceFacts> {
    let logical = devices.iter().map(|device| DeviceFacts {
        id: device.id.clone(),
        on: device.on.clone(),
        name: format!("mock slice of {}", device.on),
        memory_bytes: device.memory_bytes,
        architecture: None,
    });
    let host = DeviceFacts {
        id: DeviceId::cpu(),
        on: DeviceId::cpu(),
        name: "mock host".to_owned(),
        memory_bytes: None,
        architecture: None,
    };
    std::iter::once(host).chain(logical).collect()
}

pub(super) fn resolve(
    request: &WorkerRequest,
    tree: &ModuleTree,
    model: MockModel,
    context: &Context,
) -> Result<Resolved, WorkerFailure> {
    if let Some(device) = plan::devices_named(&request.placement)
        .iter()
        .find(|device| matches!(device.kind(), DeviceKind::Cuda(_) | DeviceKind::Metal(_)))
    {
        return Err(context.failure(
            FailureClass::DeviceMissing,
            format!("{device} is not available: the mock engine has the host and logical devices only"),
        ));
    }
    let machine = Machine {
        devices: request
            .devices
            .iter()
            .map(|device| (device.id.clone(), device.memory_bytes))
            .collect(),
        gpus: Vec::new(),
        host_bytes: Some(Bytes(1 << 40)),
    };
    let rates = request.rates.clone().map(|rates| rates.with_logical(&request.devices));
    let demand = Demand {
        shape: model.shape(),
        workload: Workload::new(
            tokens(&request.prompt).len() as u64,
            u64::from(request.generation.max_new_tokens),
            4,
        ),
        rates: rates.as_ref(),
        hardware: &[],
    };
    plan::resolve(&request.placement, &machine, tree, &model.execution_order(), &demand)
        .map_err(|error| context.failure(error.class(), error.to_string()))
}

/// The injected faults `ignored_split` and `spill` put modules elsewhere than was announced.
pub(super) fn displace(modules: &mut [(String, DeviceId)], context: &Context) {
    let (names, mut homes): (Vec<String>, Vec<DeviceId>) = modules.iter().cloned().unzip();
    context.displace(&names, &mut homes, &DeviceId::cpu());
    for ((_, device), home) in modules.iter_mut().zip(homes) {
        *device = home;
    }
}

pub(super) fn hops(modules: &[(String, DeviceId)]) -> Vec<Hop> {
    modules
        .windows(2)
        .filter(|pair| pair[0].1 != pair[1].1)
        .map(|pair| Hop {
            from_module: pair[0].0.clone(),
            to_module: pair[1].0.clone(),
            from_device: pair[0].1.clone(),
            to_device: pair[1].1.clone(),
        })
        .collect()
}
