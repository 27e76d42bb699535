//! What every module made and every hop delivered, and where two placements part.
//!
//! In an audit the worker notes, for each step of a generation, a [`TensorPrint`] of every module's output and of every
//! activation before and after its hop. [`compare()`] goes through two such trails in order of execution and names the first
//! place where they part, with what the tensor became. Audits are never timed: looking at a tensor waits for its device
//! and copies it to the host.

mod became;
mod compare;
mod print;
mod spec;
mod trail;
mod walk;
mod words;

pub use became::Became;
pub use compare::{Cell, CellRow, Comparison, Drift, End, Parting, Stage, Trail, Whose, compare};
pub use print::{Digest, SAMPLES, TensorPrint};
pub use spec::AuditSpec;
pub use trail::{AuditEntry, AuditStep, Changed, Side};
