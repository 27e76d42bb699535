//! The command line of `plan`.

use std::path::PathBuf;

use super::Format;

/// `plan`.
#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// Scenario files, or folders of them: every placement is planned
    #[arg(value_name = "PATH", conflicts_with_all = ["module_tree", "model", "config"])]
    pub(crate) paths: Vec<PathBuf>,
    /// A module tree as JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "config"])]
    pub(crate) module_tree: Option<PathBuf>,
    /// A folder with config.json and safetensors, or a .gguf file; only headers are read
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub(crate) model: Option<PathBuf>,
    /// A config.json alone: the model need not be here
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// auto, balanced, balanced_low_0, sequential, optimal, a device, or a JSON object of module path to device
    #[arg(
        long,
        visible_alias = "device-map",
        default_value = "auto",
        value_name = "STRATEGY|DEVICE|JSON"
    )]
    pub(crate) strategy: String,
    /// Budgets as a JSON object of device to size; absent: what is free on this machine now
    #[arg(long, value_name = "JSON")]
    pub(crate) max_memory: Option<String>,
    /// How fast the devices are, as `doctor --format json` wrote it; absent: all alike
    #[arg(long, value_name = "FILE")]
    pub(crate) rates: Option<PathBuf>,
    /// With optimal: the time that shall be least: tpot (per output token) or ttft (to the first token)
    #[arg(long, default_value = "tpot")]
    pub(crate) objective: String,
    /// Where the prompt's tokens are made; a warning says where they should be
    #[arg(long, value_name = "DEVICE")]
    pub(crate) input_device: Option<String>,
    /// Element type to load in: float16, bfloat16, float32; absent: as stored
    #[arg(long, value_name = "DTYPE")]
    pub(crate) dtype: Option<String>,
    /// Whose rules answer a strategy: accelerate or transformers-5
    #[arg(long, default_value = "accelerate")]
    pub(crate) planner: String,
    /// How Accelerate is called: transformers (a tied head counts twice while balancing) or accelerate
    #[arg(long, default_value = "transformers")]
    pub(crate) flow: String,
    /// Tokens of prompt and answer together, for the KV cache; absent: what the model was made for, at most 4096, or what a scenario asks for
    #[arg(long)]
    pub(crate) seq_len: Option<u64>,
    /// Sequences at once
    #[arg(long, default_value_t = 1)]
    pub(crate) batch: u64,
    /// With PATH: only the cases of this filter, as `run` takes it
    #[arg(long, short = 'E', value_name = "EXPR", requires = "paths")]
    pub(crate) filterset: Vec<String>,
    /// Say step by step why this module is where it is
    #[arg(long, value_name = "MODULE")]
    pub(crate) explain: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}
