//! The command line of `generate`, and what names a model on it.

use std::path::PathBuf;

use clap::{ArgGroup, ValueEnum};

use super::Format;

/// `generate`.
#[derive(Debug, clap::Args)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Engine that executes
    #[arg(long, default_value = "candle")]
    pub(crate) engine: String,
    /// Element type: f32, f16 or bf16; absent: as stored
    #[arg(long, value_name = "DTYPE")]
    pub(crate) dtype: Option<String>,
    /// A strategy, optimal, a device, or a JSON object of module path to device. Logical devices not declared with --device are slices of the cpu
    #[arg(long, default_value = "cpu", value_name = "DEVICE|JSON")]
    pub(crate) device_map: String,
    /// JSON object of device to size
    #[arg(long, value_name = "JSON")]
    pub(crate) max_memory: Option<String>,
    /// How fast the devices are, for optimal, as `doctor --format json` wrote it
    #[arg(long, value_name = "FILE")]
    pub(crate) rates: Option<PathBuf>,
    /// A logical device, as NAME=PHYSICAL or NAME=PHYSICAL,SIZE: sim:0=cpu,96MiB
    #[arg(long = "device", value_name = "NAME=PHYSICAL[,SIZE]")]
    pub(crate) devices: Vec<String>,
    /// How activations travel between devices: direct or host
    #[arg(long, default_value = "direct")]
    pub(crate) transfer: String,
    /// How layers on cpu or disk run beside an accelerator: execute or stream
    #[arg(long, default_value = "execute")]
    pub(crate) offload: String,
    /// Text to continue
    #[arg(long, required_unless_present_any = ["input_ids", "messages"], conflicts_with = "input_ids")]
    pub(crate) prompt: Option<String>,
    /// Chat turns as JSON: [{"role":"user","content":"…"}]
    #[arg(long, value_name = "JSON", conflicts_with_all = ["prompt", "input_ids"])]
    pub(crate) messages: Option<String>,
    /// Tokens to continue
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    pub(crate) input_ids: Vec<u32>,
    /// Most tokens to generate
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_new_tokens: u32,
    /// Go on after an end token
    #[arg(long)]
    pub(crate) ignore_eos: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

/// The model of `generate`: exactly one of `--model`, `--repo` and `--config`.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("source").required(true).args(["model", "repo", "config"])))]
pub(crate) struct SourceArgs {
    /// A folder with config.json and safetensors, or a .gguf file
    #[arg(long, value_name = "PATH")]
    pub(crate) model: Option<PathBuf>,
    /// A repository of the Hugging Face hub; it is fetched into the shared cache
    #[arg(long, value_name = "OWNER/NAME")]
    pub(crate) repo: Option<String>,
    /// With --repo: commit, tag or branch
    #[arg(long, default_value = "main", value_name = "REVISION", requires = "repo")]
    pub(crate) revision: String,
    /// With --repo: a single file, such as "*q4_k_m.gguf"
    #[arg(long, value_name = "NAME", requires = "repo")]
    pub(crate) file: Option<String>,
    /// A config.json alone, with --load-format dummy
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// auto: the model's weights; dummy: random ones in the shapes of its config.json
    #[arg(long, value_enum, default_value_t = LoadFormat::Auto)]
    pub(crate) load_format: LoadFormat,
    /// With --load-format dummy: seed of the weights; 0 if absent
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
}

/// Where the numbers of the weights come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LoadFormat {
    /// The model's weights
    Auto,
    /// Random weights
    Dummy,
}
