//! What is asked of a planner on the command line.

use placebench_core::device::DeviceId;
use placebench_core::planner::{DeviceIdentity, Dialect, Flow, MemoryLimit, Objective, Rates};
use placebench_core::units::Bytes;
use serde_json::Value;

use crate::engines;
use crate::error::CliError;
use crate::json_args::{self, entries};
use placebench_core::exit_code::ExitCode;

/// Budgets by device, as text or number, in the order of the request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budgets {
    /// As the planner reads them.
    pub(crate) limits: Vec<(DeviceId, MemoryLimit)>,
    /// In bytes.
    pub(crate) bytes: Vec<(DeviceId, Bytes)>,
    /// Things to say about how they were written.
    pub(crate) notes: Vec<String>,
    /// CUDA devices were written as numbers, so they are answered as numbers.
    pub(crate) numbered: bool,
    /// They are what is free, not what somebody allows: Accelerate then leaves a tenth of each GPU unused.
    pub(crate) is_free_memory: bool,
    /// What is known about the GPUs among them.
    pub(crate) hardware: Vec<DeviceIdentity<DeviceId>>,
}

impl Budgets {
    /// What is free on this machine now; `None` where this build cannot see it. Strategies of Accelerate may use the
    /// host too; `optimal` uses it only where there is nothing else.
    pub(crate) fn of_this_machine(device_map: &Placing) -> Option<Self> {
        let free = engines::free_memory();
        let with_host = *device_map != Placing::Optimal || free.gpus.is_empty();
        let host = free.host.filter(|_| with_host).map(|bytes| (DeviceId::cpu(), bytes));
        let bytes: Vec<(DeviceId, Bytes)> = free.gpus.into_iter().chain(host).collect();
        let shown: Vec<String> = bytes
            .iter()
            .map(|(device, bytes)| format!("{device} {bytes}"))
            .collect();
        (!bytes.is_empty()).then(|| Self {
            limits: limits(&bytes),
            notes: vec![format!(
                "no --max-memory: planned for what is free on this machine now ({})",
                shown.join(", ")
            )],
            bytes,
            is_free_memory: true,
            hardware: free.hardware,
            numbered: false,
        })
    }
}

/// The same budgets as the planner reads them.
pub(crate) fn limits(bytes: &[(DeviceId, Bytes)]) -> Vec<(DeviceId, MemoryLimit)> {
    let limits = bytes.iter();
    limits
        .map(|(device, bytes)| (device.clone(), MemoryLimit::from(bytes.0)))
        .collect()
}

/// What is planned, besides the model.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Strategy, device or map, as it was written.
    pub(crate) device_map: Placing,
    /// Budgets; absent where none were given.
    pub(crate) budgets: Option<Budgets>,
    /// Whose rules.
    pub(crate) dialect: Dialect,
    /// How Accelerate is called.
    pub(crate) flow: Flow,
    /// PyTorch's name of the element type, or none for the stored ones.
    pub(crate) dtype: Option<String>,
    /// Tokens of the prompt; absent: half of what the model was made for, at most 2048.
    pub(crate) prompt_tokens: Option<u64>,
    /// Tokens to generate; absent: as many.
    pub(crate) output_tokens: Option<u64>,
    /// Sequences at once.
    pub(crate) batch: u64,
    /// How fast the devices are; `None`: all alike.
    pub(crate) rates: Option<Rates<DeviceId>>,
    /// What `optimal` minimises.
    pub(crate) objective: Objective,
    /// Where the prompt's tokens are made.
    pub(crate) input: Option<DeviceId>,
}

/// A request for a device map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Placing {
    /// Accelerate's strategies.
    Strategy(placebench_core::placement::StrategyName),
    /// The fastest contiguous placement.
    Optimal,
    /// A map somebody wrote; a single device is the map of the root.
    Map(Vec<(String, DeviceId)>),
}

/// Reads `{"0": "10GiB", "sim:1": 1000, "cpu": "30GiB"}`.
pub(crate) fn budgets(text: &str) -> Result<Budgets, CliError> {
    let mut budgets = Budgets::default();
    for (name, size) in &entries("--max-memory", text)? {
        let device = device(name)?;
        budgets.numbered |= name.bytes().all(|byte| byte.is_ascii_digit());
        if budgets.bytes.iter().any(|(known, _)| *known == device) {
            return Err(usage(format!("--max-memory names {device} twice")));
        }
        let bytes = json_args::size("--max-memory", device.as_str(), size)?;
        let limit = match size {
            Value::String(text) => {
                if text.ends_with('b') {
                    budgets.notes.push(format!(
                        "`{text}` means bits, as Accelerate reads it: write a capital B for bytes"
                    ));
                }
                MemoryLimit::Text(text.clone())
            }
            _ => MemoryLimit::from(bytes.0),
        };
        budgets.limits.push((device.clone(), limit));
        budgets.bytes.push((device, bytes));
    }
    Ok(budgets)
}

/// A device; `mps` is Accelerate's word for Metal.
pub(crate) fn device(name: &str) -> Result<DeviceId, CliError> {
    DeviceId::new(if name == "mps" { "metal:0" } else { name }).map_err(|error| usage(error.to_string()))
}

/// A strategy, a device, or a JSON object of module path to device.
pub(crate) fn placing(text: &str) -> Result<Placing, CliError> {
    if text == "optimal" {
        return Ok(Placing::Optimal);
    }
    if let Some(strategy) = placebench_core::placement::StrategyName::from_name(text) {
        return Ok(Placing::Strategy(strategy));
    }
    if text.trim_start().starts_with('{') {
        let written = entries("--device-map", text)?;
        let entries = written.iter().map(|(module, name)| {
            let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
            Ok((module.clone(), device(&name)?))
        });
        return Ok(Placing::Map(entries.collect::<Result<_, CliError>>()?));
    }
    Ok(Placing::Map(vec![(String::new(), device(text)?)]))
}

/// `f16`, `fp16`, `float16` and `torch.float16` are the same to people.
pub(crate) fn dtype(name: &str) -> Result<String, CliError> {
    let plain = name.strip_prefix("torch.").unwrap_or(name);
    let torch = match plain {
        "f32" | "fp32" => "float32",
        "f16" | "fp16" | "half" => "float16",
        "bf16" => "bfloat16",
        other => other,
    };
    // The planner itself sizes any name that holds a number of bits, as the reference does; people mistype.
    const KNOWN: [&str; 11] = [
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "float8_e4m3fn",
        "float8_e5m2",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
    ];
    if KNOWN.contains(&torch) {
        return Ok(torch.to_owned());
    }
    Err(usage(format!(
        "--dtype: `{name}` is no element type; there are {}",
        KNOWN.join(", ")
    )))
}

pub(crate) fn usage(message: String) -> CliError {
    CliError::with_code(ExitCode::Usage, message)
}

/// The time that shall be least.
pub(crate) fn objective(name: &str) -> Result<Objective, CliError> {
    [Objective::Tpot, Objective::Ttft]
        .into_iter()
        .find(|objective| objective.as_str() == name)
        .ok_or_else(|| usage(format!("--objective: `{name}` is neither tpot nor ttft")))
}
