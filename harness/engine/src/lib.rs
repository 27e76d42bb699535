//! What a worker is.
//!
//! A worker is one process that carries out one [`WorkerRequest`]: an [`Engine`] opens the model as asked, the
//! [`Session`] it returns generates, and [`worker::run`] around them speaks the protocol. Engines differ in what
//! computes; they share the event pipe, the breadcrumb and the injected faults through [`Context`].
//!
//! This crate holds the mock engine, which computes nothing and is therefore deterministic to the byte; the engine that
//! runs real models is a crate of its own, because this one must build in seconds.

pub mod audit;
pub mod breadcrumb;
pub mod context;
pub mod faults;
mod lanes;
pub mod mock;
pub mod plan;
pub mod step_clock;
pub mod tie;
pub mod worker;

use placebench_core::device::DeviceBytes;
use placebench_core::fault::FaultKind;
use placebench_core::outcome::WorkerFailure;
use placebench_core::placement::Concurrency;
use placebench_core::protocol::{Generation, MemoryFigure, Probe, WorkerRequest};

pub use context::Context;
pub use step_clock::StepClock;

/// Something that can execute cases.
pub trait Engine: Sync {
    /// The name scenarios use: `engine = "candle"`.
    fn name(&self) -> &'static str;

    /// Names and versions of what computes, for the record.
    fn versions(&self) -> Vec<String>;

    /// Whether it can inject that fault. A request for any other is refused before anything is loaded: a fault that is
    /// silently ignored would make a detector look proven.
    fn supports_fault(&self, kind: FaultKind) -> bool;

    /// Whether it can generate several sequences together that way. A request it cannot carry out is refused before
    /// anything is loaded.
    fn supports_concurrency(&self, concurrency: Concurrency) -> bool {
        concurrency.sequences() == 1
    }

    /// Whether it can tell what each module makes and each hop delivers. A request for an audit it cannot make is refused
    /// before anything is loaded.
    fn supports_audit(&self) -> bool {
        false
    }

    /// Finds, plans and loads the model: phases `resolve`, `plan` and `load`, each announced through `context`.
    ///
    /// # Errors
    /// When the model, the placement or the machine does not allow it.
    fn open(&self, request: &WorkerRequest, context: &mut Context) -> Result<Box<dyn Session>, WorkerFailure>;
}

/// A loaded model with its prompt.
pub trait Session {
    /// Whatever has to be settled once before the first generation: phase `prepare`.
    ///
    /// # Errors
    /// When nothing could be generated.
    fn prepare(&mut self, context: &mut Context) -> Result<(), WorkerFailure> {
        let _ = context;
        Ok(())
    }

    /// One forward step over the prompt of the first sequence, in phase `prepare` and after [`Self::prepare`]: the logits of
    /// its last position. It leaves nothing behind, neither in caches nor in the figures of memory, and faults strike in it
    /// only where they name the phase. `None` where the engine cannot, or where there is no room for it, which the
    /// generation that follows reports in its own phase.
    ///
    /// # Errors
    /// When the model cannot be computed.
    fn probe(&mut self, context: &mut Context) -> Result<Option<Probe>, WorkerFailure> {
        let _ = context;
        Ok(None)
    }

    /// Generates once, from an empty cache: phases `prefill` and `decode`.
    ///
    /// # Errors
    /// When the generation cannot be completed.
    fn generate(&mut self, context: &mut Context) -> Result<Generation, WorkerFailure>;

    /// Weights, cache and peak per device so far, read back from what is allocated.
    fn memory(&self) -> Vec<MemoryFigure>;

    /// What is in use on each device between two generations, read back from what is allocated. Figures that grow with
    /// every generation are a leak. Nothing, where that cannot be told.
    fn held(&self) -> Vec<DeviceBytes> {
        Vec::new()
    }
}
