//! Scenarios: from the text of a file to the cases it stands for.
//!
//! [`parse::parse`] turns text into [`file::ScenarioFile`] (only TOML: nothing is checked but its grammar),
//! [`resolve::resolve`] turns that into a [`resolve::Scenario`] (valid on its own, nothing left out), and
//! [`expand::expand`] multiplies it into cases. Each step reports every problem it finds, with its place in the file.

pub mod engine_tables;
pub mod expand;
mod fault_rules;
pub mod file;
pub mod limits;
pub mod parse;
pub mod problem;
pub mod reference;
pub mod resolve;
mod rules;
pub mod schema;
pub mod value;

pub use problem::Problem;
pub use resolve::Scenario;

/// The engine that is a program of somebody else: it speaks the worker protocol, and the scenario says where it is.
pub const PROGRAM: &str = "program";

/// The engine that is the stack of Hugging Face, in Python.
pub const TRANSFORMERS: &str = "transformers";

/// The engine that is a server which speaks the API of OpenAI.
pub const OPENAI: &str = "openai";

/// Most repetitions of a case. Far beyond what any median needs; each is a process, and all of them are listed before the
/// first begins.
pub const MOST_REPETITIONS: u32 = 10_000;
