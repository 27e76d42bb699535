//! `placebench generate`: one prompt, one placement, in this process.

use std::io::Write;
use std::sync::{Arc, Mutex};

use placebench_core::device::{DeviceId, DeviceKind, LogicalDevice};
use placebench_core::exit_code::ExitCode;
use placebench_core::outcome::{Phase, WorkerFailure};
use placebench_core::placement::{Concurrency, DeviceMapRequest, Offload, PlacementRequest, StrategyName, Transfer};
use placebench_core::planner::{Dialect, Objective};
use placebench_core::protocol::{
    Dtype, EventKind, Generation, GenerationSpec, MemoryKind, Message, PROTOCOL_VERSION, Prompt, WorkerEvent,
    WorkerRequest,
};
use placebench_core::units::{Bytes, human_seconds};
use placebench_engine::Context;
use placebench_engine::breadcrumb::BreadcrumbWriter;
use placebench_engine::faults::FaultPlan;
use placebench_engine::worker::guarded;
use serde_json::{Value, json};

use crate::args::{Format, GenerateArgs};
use crate::engines;
use crate::error::CliError;
use crate::fetch_bar::FetchBar;
use crate::json_args::{entries, size};
use crate::model_source::model_source;
use crate::terminal::out;

/// What candle and its libraries read the number of threads from.
const THREADS: &str = "RAYON_NUM_THREADS";

pub(crate) fn run(args: &GenerateArgs) -> Result<ExitCode, CliError> {
    let threads = settle_threads();
    let request = request(args)?;
    let engine = engines::all()
        .into_iter()
        .find(|engine| engine.name() == request.engine)
        .ok_or_else(|| usage(format!("no engine `{}` in this build", request.engine)))?;
    let heard = Heard::default();
    let mut context = Context::new(
        Box::new(heard.clone()),
        BreadcrumbWriter::unread(),
        FaultPlan::default(),
    );
    let result = guarded(&mut context, |context| {
        let mut session = engine.open(&request, context)?;
        context.phase(Phase::Prepare);
        session.prepare(context)?;
        let generation = session.generate(context)?;
        Ok((generation, session.memory()))
    });
    let (generation, memory) = result.map_err(|failure| failed(&failure))?;
    let events = heard.events();
    let mut realised = serde_json::Map::new();
    let mut load_s = None;
    for event in &events {
        if let EventKind::Loaded { realised: modules, .. } = &event.kind {
            load_s = Some(event.t_s);
            for module in modules {
                realised.insert(module.module.clone(), module.device.as_str().into());
            }
        }
    }
    let bytes_of = |kind: MemoryKind| -> Value {
        memory
            .iter()
            .filter(|figure| figure.kind == kind)
            .map(|figure| (figure.device.as_str().to_owned(), Value::from(figure.bytes.0)))
            .collect::<serde_json::Map<String, Value>>()
            .into()
    };
    match args.format {
        Format::Json => {
            let stamps = &generation.token_stamps_s;
            let gaps = stamps.len().saturating_sub(1);
            let tpot = (gaps > 0).then(|| (stamps[gaps] - stamps[0]) / gaps as f64);
            let top5_first: Vec<(u32, f32)> = generation
                .top5
                .first()
                .into_iter()
                .flatten()
                .map(|entry| (entry.id, entry.logit))
                .collect();
            out(&crate::terminal::json(&json!({
                "input_ids": generation.input_ids,
                "output_ids": generation.output_ids,
                "text": generation.text,
                "finish_reason": generation.finish_reason,
                "token_stamps_s": stamps,
                "top2_gaps": generation.top2_gaps,
                "top5_first": top5_first,
                "realised_map": realised,
                "metrics": {
                    "load_s": load_s,
                    "ttft_s": stamps.first(),
                    "tpot_s": tpot,
                    "e2e_s": stamps.last(),
                    "input_tokens": generation.input_count(),
                    "output_tokens": generation.output_count(),
                    "hops": generation.hops,
                    "transfer_bytes": generation.transfer_bytes,
                    "streamed_bytes": generation.streamed_bytes,
                    "weights_bytes": bytes_of(MemoryKind::Weights),
                    "kv_cache_bytes": bytes_of(MemoryKind::KvCache),
                    "peak_memory_bytes": bytes_of(MemoryKind::Peak),
                    "profile": placebench_engine::worker::build_profile(),
                    "threads": threads,
                },
            })));
        }
        Format::Human => print_for_people(&generation),
    }
    Ok(ExitCode::Passed)
}

/// How many threads compute: what [`THREADS`] says, else one for each processor, as for workers.
///
/// Where the variable is not set candle asks the system at every product, and so pays more for the question than for many
/// a product.
#[expect(
    unsafe_code,
    reason = "the environment is not to be changed while another thread reads it"
)]
fn settle_threads() -> usize {
    let said = std::env::var(THREADS).ok().and_then(|count| count.parse().ok());
    if let Some(count) = said.filter(|count| *count > 0) {
        return count;
    }
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    // SAFETY: this is the first thing the command does, and nothing before it starts a thread.
    unsafe { std::env::set_var(THREADS, count.to_string()) };
    count
}

fn print_for_people(generation: &Generation) {
    if generation.text.is_empty() {
        let ids: Vec<String> = generation.output_ids.iter().map(u32::to_string).collect();
        out(&ids.join(" "));
    } else {
        out(&crate::terminal::block(&generation.text));
    }
    let first = generation.token_stamps_s.first().copied().unwrap_or_default();
    let last = generation.token_stamps_s.last().copied().unwrap_or_default();
    crate::terminal::err(&format!(
        "{} tokens ({}), first after {}, all after {}",
        generation.output_count(),
        generation.finish_reason.as_str(),
        human_seconds(first),
        human_seconds(last)
    ));
}

fn failed(failure: &WorkerFailure) -> CliError {
    let code = if failure.class.is_setup() {
        ExitCode::Setup
    } else {
        ExitCode::CaseFailed
    };
    CliError::with_code(code, failure.message.clone())
}

fn usage(message: String) -> CliError {
    CliError::with_code(ExitCode::Usage, message)
}

fn request(args: &GenerateArgs) -> Result<WorkerRequest, CliError> {
    let max_memory = args.max_memory.as_deref().map(parse_budgets).transpose()?;
    let device_map = parse_device_map(&args.device_map)?;
    let mut devices = args
        .devices
        .iter()
        .map(|text| parse_device(text))
        .collect::<Result<Vec<_>, _>>()?;
    declare_missing(&mut devices, &device_map, max_memory.as_deref());
    Ok(WorkerRequest {
        protocol: PROTOCOL_VERSION,
        case: "generate".to_owned(),
        engine: args.engine.clone(),
        model: model_source(&args.source)?,
        dtype: args
            .dtype
            .as_deref()
            .map(|name| parse_word::<Dtype>("--dtype", name, "f32, f16 or bf16"))
            .transpose()?,
        devices,
        rates: args.rates.as_deref().map(crate::rates::read).transpose()?,
        placement: PlacementRequest {
            device_map,
            max_memory,
            transfer: parse_word::<Transfer>("--transfer", &args.transfer, "direct or host")?,
            offload: parse_word::<Offload>("--offload", &args.offload, "execute or stream")?,
            planner: Dialect::default(),
            concurrency: Concurrency::Single,
        },
        prompt: prompt(args)?,
        companion_prompts: Vec::new(),
        generation: GenerationSpec {
            max_new_tokens: args.max_new_tokens,
            sampling: None,
            ignore_eos: args.ignore_eos,
            stop: Vec::new(),
        },
        warmup: 0,
        repetitions: 1,
        audit: false,
        faults: Vec::new(),
        probe: false,
        server: None,
        transformers: None,
    })
}

fn prompt(args: &GenerateArgs) -> Result<Prompt, CliError> {
    if let Some(text) = &args.prompt {
        return Ok(Prompt::Text(text.clone()));
    }
    if let Some(messages) = &args.messages {
        let messages: Vec<Message> = serde_json::from_str(messages)
            .map_err(|error| usage(format!("--messages is not a JSON list of turns: {error}")))?;
        return Ok(Prompt::Messages(messages));
    }
    Ok(Prompt::InputIds(args.input_ids.clone()))
}

fn parse_word<T: serde::de::DeserializeOwned>(option: &str, word: &str, known: &str) -> Result<T, CliError> {
    serde_json::from_value(Value::from(word)).map_err(|_| usage(format!("{option}: `{word}` is not one of {known}")))
}

fn parse_device_id(text: &str) -> Result<DeviceId, CliError> {
    DeviceId::new(text).map_err(|error| usage(error.to_string()))
}

fn parse_device_map(text: &str) -> Result<DeviceMapRequest, CliError> {
    if text.trim_start().starts_with('{') {
        let entries = entries("--device-map", text)?
            .into_iter()
            .map(|(module, device)| Ok((module, parse_device_id(&plain(&device))?)))
            .collect::<Result<Vec<_>, CliError>>()?;
        return Ok(DeviceMapRequest::Manual(entries));
    }
    if text == "optimal" {
        return Ok(DeviceMapRequest::Optimal(Objective::default()));
    }
    Ok(match StrategyName::from_name(text) {
        Some(strategy) => DeviceMapRequest::Strategy(strategy),
        None => DeviceMapRequest::Single(parse_device_id(text)?),
    })
}

fn parse_budgets(text: &str) -> Result<Vec<(DeviceId, Bytes)>, CliError> {
    entries("--max-memory", text)?
        .into_iter()
        .map(|(device, bytes)| Ok((parse_device_id(&device)?, size("--max-memory", &device, &bytes)?)))
        .collect()
}

/// A string without its quotes, any other value as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn parse_device(text: &str) -> Result<LogicalDevice, CliError> {
    let malformed = || usage(format!("--device `{text}`: write NAME=PHYSICAL or NAME=PHYSICAL,SIZE"));
    let (name, rest) = text.split_once('=').ok_or_else(malformed)?;
    let (on, bytes) = rest
        .split_once(',')
        .map_or((rest, None), |(on, bytes)| (on, Some(bytes)));
    Ok(LogicalDevice {
        id: parse_device_id(name)?,
        on: parse_device_id(on)?,
        memory_bytes: bytes
            .map(|bytes| size("--device", name, &Value::from(bytes)))
            .transpose()?,
    })
}

/// Logical devices that are used but not declared are unlimited slices of the cpu; their budgets bind the planner only.
fn declare_missing(devices: &mut Vec<LogicalDevice>, map: &DeviceMapRequest, budgets: Option<&[(DeviceId, Bytes)]>) {
    let mut used: Vec<&DeviceId> = budgets.into_iter().flatten().map(|(device, _)| device).collect();
    match map {
        DeviceMapRequest::Strategy(_)
        | DeviceMapRequest::Optimal(_)
        | DeviceMapRequest::Ranks(_)
        | DeviceMapRequest::Stated(_) => {}
        DeviceMapRequest::Single(device) => used.push(device),
        DeviceMapRequest::Manual(entries) => used.extend(entries.iter().map(|(_, device)| device)),
    }
    for device in used {
        if device.kind() == DeviceKind::Logical && !devices.iter().any(|known| known.id == *device) {
            devices.push(LogicalDevice {
                id: device.clone(),
                on: DeviceId::cpu(),
                memory_bytes: None,
            });
        }
    }
}

/// Events written by an engine in this process.
#[derive(Debug, Clone, Default)]
struct Heard {
    written: Arc<Mutex<Vec<u8>>>,
    bar: FetchBar,
}

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // Events are written a line at a time. Those of tokens are not read here: that would be part of their time.
        if is_fetching(bytes)
            && let Ok(event) = serde_json::from_slice::<WorkerEvent>(bytes)
        {
            self.bar.on(&event.kind);
        }
        self.written
            .lock()
            .map_err(|_| std::io::Error::other("poisoned"))?
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn is_fetching(line: &[u8]) -> bool {
    const NAME: &[u8] = b"\"event\":\"fetching\"";
    line.windows(NAME.len()).any(|part| part == NAME)
}

impl Heard {
    fn events(&self) -> Vec<WorkerEvent> {
        let bytes = self.written.lock().map(|bytes| bytes.clone()).unwrap_or_default();
        bytes
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }
}
