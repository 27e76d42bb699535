//! The command line of `engine-check`.

use std::ffi::OsString;
use std::path::PathBuf;

use super::Format;

/// `engine-check`.
#[derive(Debug, clap::Args)]
pub(crate) struct EngineCheckArgs {
    /// The engine: a program and its arguments, after `--`. It runs with your rights
    #[arg(last = true, required_unless_present = "list", value_name = "PROGRAM")]
    pub(crate) program: Vec<OsString>,
    /// What requests call the engine: for a program that is several, such as `placebench worker`
    #[arg(long, default_value = "program", value_name = "NAME")]
    pub(crate) engine: String,
    /// A folder with config.json and safetensors, or a .gguf file; absent: random weights in the shapes of a small Llama
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub(crate) model: Option<PathBuf>,
    /// A config.json: random weights in its shapes
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A logical device, as NAME=PHYSICAL or NAME=PHYSICAL,SIZE; absent: sim:0 and sim:1 on the cpu, with 64 MiB each
    #[arg(long = "device", value_name = "NAME=PHYSICAL[,SIZE]", requires = "on")]
    pub(crate) devices: Vec<String>,
    /// A device to place on: the first takes the whole model, the second its other half; absent: the logical devices, or cpu
    /// and disk where the engine has no logical devices
    #[arg(long, value_name = "DEVICE")]
    pub(crate) on: Vec<String>,
    /// Keys to put into every request, as a JSON object: what an engine needs besides, such as a server's address
    #[arg(long, value_name = "JSON")]
    pub(crate) with: Option<String>,
    /// Only these checks, and what they rest on
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// List the checks, and start nothing
    #[arg(long)]
    pub(crate) list: bool,
    /// How long the engine may take to load, to a first token, and to end when nobody is there any more
    #[arg(long, default_value = "60s", value_name = "DURATION")]
    pub(crate) timeout: String,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}
