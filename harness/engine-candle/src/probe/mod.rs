//! Probes of `placebench doctor`: what a device achieves, and whether a link delivers what it is given.
//!
//! Each probe runs in a process of its own, so that one that hangs or dies takes nothing else with it. Everything is
//! measured through the code a generation runs: [`crate::model::linear::Linear`], [`crate::model::Decoder`],
//! [`crate::device::Placed`].

mod decoder;
mod device;
mod link;
mod pattern;
mod sampling;

use placebench_core::doctor::probe::{GpuFacts, ProbeEvent, ProbeRequest, ProbeTask};
use placebench_core::outcome::WorkerFailure;
use placebench_engine::faults::FaultPlan;
use thiserror::Error;

use crate::device::gpus;
use crate::error::EngineError;

/// Why a probe cannot go on.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// A device or an operation.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The small decoder.
    #[error("{}", .0.message)]
    Decoder(Box<WorkerFailure>),
    /// Something that makes the answer worthless.
    #[error("{0}")]
    Unusable(String),
}

impl From<WorkerFailure> for ProbeError {
    fn from(failure: WorkerFailure) -> Self {
        Self::Decoder(Box::new(failure))
    }
}

/// Where a probe reports to.
pub(crate) struct Reporter<'a>(&'a mut dyn FnMut(ProbeEvent));

impl Reporter<'_> {
    fn step(&mut self, what: impl Into<String>) {
        (self.0)(ProbeEvent::Step { what: what.into() });
    }

    fn say(&mut self, event: ProbeEvent) {
        (self.0)(event);
    }
}

/// Carries out a request. The caller says [`ProbeEvent::Done`].
///
/// # Errors
/// When a device cannot be opened or does not compute.
pub fn run(request: &ProbeRequest, say: &mut dyn FnMut(ProbeEvent)) -> Result<(), ProbeError> {
    let mut reporter = Reporter(say);
    match &request.task {
        ProbeTask::Inventory => {
            reporter.step("looking for GPUs");
            let found = gpus().into_iter().map(|gpu| GpuFacts {
                id: gpu.id,
                name: gpu.name,
                uuid: gpu.uuid,
                memory_bytes: gpu.total_bytes,
                free_bytes: gpu.free_bytes,
            });
            let gpus = found.collect();
            reporter.say(ProbeEvent::Gpus { gpus });
            Ok(())
        }
        ProbeTask::Device { device } => {
            let figures = device::measure(device, request.quick, &mut reporter)?;
            reporter.say(ProbeEvent::Device { figures });
            Ok(())
        }
        ProbeTask::Link { from, to, paths } => {
            let faults = FaultPlan::new(request.faults.clone());
            let probe = link::LinkProbe::open(&request.devices, from, to, &faults, request.quick)?;
            for transfer in paths {
                probe.path(*transfer, &mut reporter)?;
            }
            Ok(())
        }
    }
}
