//! Format 2: what supervisor and worker say to each other.
//!
//! One JSON request on the worker's standard input, then one JSON object a line on its event pipe. All times are
//! seconds on the worker's own monotonic clock, counted from its start.

mod event;
mod facts;
mod generation;
mod probe;
mod request;

pub use event::{EventKind, StacksOnDemand, StacksSignal, WorkerEvent};
pub use facts::{DeviceFacts, LinkFacts, MemoryFigure, MemoryKind, PlannedPlacement, RealisedModule};
pub use generation::{FinishReason, Generation, TokenLogit};
pub use probe::{Precision, Probe};
pub use request::{Dtype, GenerationSpec, Message, ModelSource, Prompt, Sampling, WorkerRequest};

/// The version both sides must share.
///
/// History: 1 (first).
pub const PROTOCOL_VERSION: u32 = 1;

/// Name of the environment variable that holds the path of the breadcrumb page.
pub const BREADCRUMB_ENV: &str = "PLACEBENCH_BREADCRUMB";

/// Name of the environment variable that holds the path of the file for [`StacksOnDemand`]. Rank `r` of an engine that runs
/// as several processes uses that path followed by `.r`.
pub const STACKS_ENV: &str = "PLACEBENCH_STACKS";

/// Name of the environment variable in which the supervisor leaves its process id, so that a worker can tell that it is
/// orphaned already when it starts.
pub const SUPERVISOR_PID_ENV: &str = "PLACEBENCH_SUPERVISOR_PID";
