//! Processes and files: everything of placebench that has an effect on the host.
//!
//! [`run::run`] takes cases in order, [`supervisor::run_attempt`] runs one of their attempts in a child process under
//! deadlines and turns whatever happens into a record, [`store::RunFolder`] keeps the records, [`snapshot`] the approved
//! texts. The crate knows neither candle nor what a worker computes: it speaks the worker protocol of
//! `placebench-core` and nothing else. It prints nothing and judges nothing.
//!
//! Read [`supervisor`] first.

mod arms;
mod breach;
pub mod breadcrumb;
pub mod cancel;
mod device_lock;
mod devices;
pub mod environment;
mod event_log;
mod evidence;
mod failures;
mod files;
#[cfg(any(test, fuzzing))]
mod fixture;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod gpu;
mod ladder;
mod last_events;
mod lines;
mod memory;
mod outcome;
mod pipes;
pub mod probe;
mod quarantine;
mod recovery;
pub mod run;
pub mod schedule;
mod secrets;
mod server_program;
pub mod side_by_side;
mod slots;
pub mod slug;
pub mod snapshot;
mod stacks;
mod stderr;
pub mod store;
mod supervision;
pub mod supervisor;
mod sys;
mod transcript;
pub mod unsupervised;
mod watchdog;
pub mod worker_env;
