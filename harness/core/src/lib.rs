//! The pure part of placebench: values in, values out.
//!
//! Text becomes a [`scenario::Scenario`], a scenario becomes cases ([`record::CaseSpec`]), a case and a module tree become a
//! plan ([`planner`]), what a worker did becomes an attempt ([`record::Attempt`]), attempts become a verdict
//! ([`judge`]), and two sets of them a comparison ([`compare`]). Nothing in this crate reads a file, a clock or a device, and
//! nothing in it knows candle: whoever wants effects lives in `placebench-runner` (processes and files) or in an engine
//! crate (devices).
//!
//! Formats are serialised here and nowhere else: the scenario file ([`scenario::file`]), the worker protocol
//! ([`protocol`]), the run record ([`record`]) and the event stream ([`stream`]). Each has a version constant whose doc
//! comment is its history.

pub mod audit;
pub mod baseline;
pub mod bisect;
pub mod breadcrumb;
pub mod compare;
pub mod device;
pub mod doctor;
pub mod evidence;
pub mod exit_code;
pub mod fault;
pub mod judge;
pub mod merge;
pub mod module_tree;
pub mod outcome;
pub mod placement;
pub mod planner;
pub mod protocol;
pub mod record;
pub mod scenario;
pub mod selection;
pub mod settings;
pub mod shown;
pub mod statistics;
pub mod stream;
pub mod trend;
pub mod units;
pub mod worker_variables;
