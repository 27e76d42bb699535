//! From [`ScenarioFile`] to [`Scenario`]: everything a person can get wrong is checked here, all of it at once.

use std::path::{Path, PathBuf};

use toml::Spanned;

use super::file::{
    DefaultsFile, ExpectTable, MatrixTable, PlacementTable, PromptTable, SCENARIO_VERSION, ScenarioFile,
};
use super::problem::{Problem, suggestion};
use super::rules;
use super::value::{DeviceMapValue, DevicesUsed, Named};
use crate::device::{DeviceId, LogicalDevice};
use crate::fault::{Fault, FaultPoint};
use crate::placement::{DeviceMapRequest, PlacementRequest, StrategyName, Transfer};
use crate::planner::Dialect;
use crate::protocol::{Dtype, GenerationSpec, ModelSource, Prompt, Sampling};
use crate::record::{AgreementSpec, Expectation, MeasureSpec, Timeouts};

/// The largest logit gap between two tokens that counts as a tie where the scenario names none. Noise of float32
/// arithmetic is about 1e-4 on the models measured, of float16 about a hundred times that.
pub const DEFAULT_MAX_GAP: f32 = 0.05;

/// Where a scenario comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its name: the path in its suite without extension, with `/`.
    pub name: String,
    /// The file as people know it.
    pub file: String,
    /// Absolute path of the folder the file is in.
    pub folder: PathBuf,
    /// Absolute path of the suite's folder, which relative paths may not leave.
    pub suite: PathBuf,
}

/// Reads a text file a scenario refers to.
pub type ReadText<'a> = &'a dyn Fn(&Path) -> Result<String, String>;

/// A scenario that makes sense: valid on its own, with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Where it comes from.
    pub origin: Origin,
    /// What it is about.
    pub description: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Name of the engine.
    pub engine: String,
    /// The model.
    pub model: ModelSource,
    /// How to get the model.
    pub model_fetch: Option<String>,
    /// Element type.
    pub dtype: Option<Dtype>,
    /// Logical devices.
    pub devices: Vec<LogicalDevice>,
    /// Prompts with their names.
    pub prompts: Vec<(String, Prompt)>,
    /// How to generate.
    pub generation: GenerationSpec,
    /// Placements.
    pub placements: Vec<NamedPlacement>,
    /// Deadlines.
    pub timeout: Timeouts,
    /// Repetitions.
    pub measure: MeasureSpec,
    /// CUDA devices needed.
    pub requires_cuda: u32,
    /// Faults, each with the placements it applies to (none named: all).
    pub faults: Vec<(Fault, Vec<String>)>,
    /// Axes.
    pub matrix: Matrix,
    /// Variables for the worker.
    pub env: Vec<(String, String)>,
}

/// A placement of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedPlacement {
    /// Its name.
    pub name: String,
    /// Its line in the file, from 1.
    pub line: usize,
    /// What it asks for.
    pub request: PlacementRequest,
    /// What must be true of its cases.
    pub expect: Expectation,
}

/// Axes that multiply cases. Empty axes leave the scenario's own value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    /// Element types.
    pub dtype: Vec<Dtype>,
    /// Ways of moving activations.
    pub transfer: Vec<Transfer>,
    /// Engines.
    pub engine: Vec<String>,
}

/// Checks a scenario file and fills in its defaults.
///
/// # Errors
/// Every problem found, in the order of the file.
pub fn resolve(
    file: &ScenarioFile,
    defaults: &DefaultsFile,
    text: &str,
    origin: Origin,
    read_text: ReadText<'_>,
) -> Result<Scenario, Vec<Problem>> {
    let mut problems = Vec::new();
    rules::version(file.schema_version.as_ref(), SCENARIO_VERSION, &mut problems);
    let engine = resolve_engine(file, defaults, &mut problems);
    let (model, model_fetch, dtype) = resolve_model(file, &origin, &mut problems);
    let devices = resolve_devices(file, &mut problems);
    let prompts = resolve_prompts(file, &origin, read_text, &mut problems);
    let names: Vec<&str> = file.placement.as_ref().map(Named::names).unwrap_or_default();
    if names.is_empty() {
        problems.push(
            Problem::general("the scenario has no placement")
                .hint("add for example: [placement.single] with device_map = \"cpu\""),
        );
    }
    let mut placements = Vec::new();
    for (name, table) in file.placement.iter().flat_map(Named::iter) {
        rules::name(name, "placement", &mut problems);
        let request = resolve_placement(table, &devices, &mut problems);
        let expect = resolve_expect(
            file.expect.as_ref(),
            table.expect.as_ref(),
            name.get_ref(),
            &names,
            &mut problems,
        );
        placements.push(NamedPlacement {
            name: name.get_ref().clone(),
            line: Problem::at(name.span(), "").position(text).map_or(1, |(line, _)| line),
            request,
            expect,
        });
    }
    if let Some(table) = &file.expect {
        rules::expectation(table, &names, &mut problems);
    }
    let faults = resolve_faults(file, &names, &mut problems);
    let generation = resolve_generation(file, defaults, &mut problems);
    let measure = resolve_measure(file, defaults, &mut problems);
    let matrix = resolve_matrix(file.matrix.as_ref(), &mut problems);
    if !problems.is_empty() {
        problems.sort_by_key(|problem| problem.span.as_ref().map_or(usize::MAX, |span| span.start));
        problems.dedup();
        return Err(problems);
    }
    let Some(model) = model else {
        return Err(vec![Problem::general("the scenario names no model")]);
    };
    Ok(Scenario {
        description: file.description.clone().unwrap_or_default(),
        tags: file.tags.clone().unwrap_or_default(),
        engine,
        model,
        model_fetch,
        dtype,
        devices,
        prompts,
        generation,
        placements,
        timeout: resolve_timeouts(file, defaults),
        measure,
        requires_cuda: file.requires.as_ref().and_then(|table| table.cuda).unwrap_or(0),
        faults,
        matrix,
        env: merged_env(file, defaults),
        origin,
    })
}

/// Checks a suite's defaults.
///
/// # Errors
/// Every problem found.
pub fn check_defaults(defaults: &DefaultsFile) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    if let Some(version) = &defaults.schema_version {
        rules::version(Some(version), SCENARIO_VERSION, &mut problems);
    }
    if let Some(engine) = &defaults.engine {
        rules::engine(engine, &mut problems);
    }
    if let Some(table) = &defaults.generation {
        rules::generation(table, &mut problems);
    }
    if let Some(table) = &defaults.measure {
        rules::measure(table, &mut problems);
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn resolve_engine(file: &ScenarioFile, defaults: &DefaultsFile, problems: &mut Vec<Problem>) -> String {
    if let Some(engine) = &file.engine {
        rules::engine(engine, problems);
    }
    let engine = file.engine.as_ref().or(defaults.engine.as_ref());
    engine.map_or_else(|| "candle".to_owned(), |engine| engine.get_ref().clone())
}

type ResolvedModel = (Option<ModelSource>, Option<String>, Option<Dtype>);

fn resolve_model(file: &ScenarioFile, origin: &Origin, problems: &mut Vec<Problem>) -> ResolvedModel {
    let Some(table) = &file.model else {
        problems.push(
            Problem::general("the scenario names no model")
                .hint("add [model] with path = \"…\" or repo = \"owner/name\""),
        );
        return (None, None, None);
    };
    let model = table.get_ref();
    let source = match (&model.path, &model.repo) {
        (Some(path), None) => {
            for key in [&model.revision, &model.file].into_iter().flatten() {
                problems.push(Problem::at(key.span(), "this key goes with repo, not with path"));
            }
            rules::inside_suite(path, origin, problems)
                .map(|path| ModelSource::Path(path.to_string_lossy().into_owned()))
        }
        (None, Some(repo)) => {
            rules::hub_names(model, problems);
            Some(ModelSource::Hub {
                repo: repo.get_ref().clone(),
                revision: model
                    .revision
                    .as_ref()
                    .map_or_else(|| "main".to_owned(), |text| text.get_ref().clone()),
                file: model.file.as_ref().map(|text| text.get_ref().clone()),
            })
        }
        (Some(_), Some(repo)) => {
            problems.push(Problem::at(repo.span(), "a model has exactly one source: path or repo"));
            None
        }
        (None, None) => {
            problems.push(
                Problem::at(table.span(), "the model has no source").hint("set path = \"…\" or repo = \"owner/name\""),
            );
            None
        }
    };
    (source, model.fetch.clone(), model.dtype)
}

fn resolve_devices(file: &ScenarioFile, problems: &mut Vec<Problem>) -> Vec<LogicalDevice> {
    let mut devices: Vec<LogicalDevice> = Vec::new();
    for (name, table) in file.devices.iter().flat_map(Named::iter) {
        let Some(id) = rules::logical_device(name, table, problems) else {
            continue;
        };
        if devices.iter().any(|device| device.id == id) {
            problems.push(Problem::at(name.span(), format!("`{id}` is declared twice")));
        }
        devices.push(LogicalDevice {
            id,
            on: table.on.get_ref().0.clone(),
            memory_bytes: table.memory.as_ref().map(|size| size.get_ref().0),
        });
    }
    devices
}

fn resolve_prompts(
    file: &ScenarioFile,
    origin: &Origin,
    read_text: ReadText<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<(String, Prompt)> {
    let tables = file.prompt.as_deref().unwrap_or_default();
    if tables.is_empty() {
        problems.push(
            Problem::general("the scenario has no prompt").hint("add [[prompt]] with name = \"…\" and text = \"…\""),
        );
    }
    let mut prompts: Vec<(String, Prompt)> = Vec::new();
    for table in tables {
        let name = if let Some(name) = &table.get_ref().name {
            rules::name(name, "prompt", problems);
            if prompts.iter().any(|(other, _)| other == name.get_ref()) {
                problems.push(Problem::at(
                    name.span(),
                    format!("two prompts are called `{}`", name.get_ref()),
                ));
            }
            name.get_ref().clone()
        } else {
            problems.push(Problem::at(table.span(), "the prompt has no name"));
            String::new()
        };
        if let Some(prompt) = resolve_prompt(table, origin, read_text, problems) {
            prompts.push((name, prompt));
        }
    }
    prompts
}

fn resolve_prompt(
    table: &Spanned<PromptTable>,
    origin: &Origin,
    read_text: ReadText<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Prompt> {
    let prompt = table.get_ref();
    let mut sources = Vec::new();
    if let Some(text) = &prompt.text {
        sources.push((text.span(), Some(Prompt::Text(text.get_ref().clone()))));
    }
    if let Some(messages) = &prompt.messages {
        rules::messages(messages, problems);
        sources.push((messages.span(), Some(Prompt::Messages(messages.get_ref().clone()))));
    }
    if let Some(ids) = &prompt.input_ids {
        if ids.get_ref().is_empty() {
            problems.push(Problem::at(ids.span(), "a prompt needs at least one token"));
        }
        sources.push((ids.span(), Some(Prompt::InputIds(ids.get_ref().clone()))));
    }
    if let Some(path) = &prompt.file {
        let text = rules::inside_suite(path, origin, problems).and_then(|absolute| {
            read_text(&absolute)
                .map_err(|error| problems.push(Problem::at(path.span(), format!("{}: {error}", absolute.display()))))
                .ok()
        });
        sources.push((path.span(), text.map(Prompt::Text)));
    }
    if sources.len() != 1 {
        let place = sources.get(1).map_or_else(|| table.span(), |(span, _)| span.clone());
        problems.push(Problem::at(
            place,
            "a prompt has exactly one of text, messages, file and input_ids",
        ));
    }
    sources.into_iter().next().and_then(|(_, prompt)| prompt)
}

fn resolve_placement(
    table: &PlacementTable,
    devices: &[LogicalDevice],
    problems: &mut Vec<Problem>,
) -> PlacementRequest {
    let span = table.device_map.span();
    let device_map = match table.device_map.get_ref() {
        DeviceMapValue::Word(word) => match (StrategyName::from_name(word), DeviceId::new(word)) {
            (Some(strategy), _) => DeviceMapRequest::Strategy(strategy),
            (None, Ok(device)) => {
                rules::device_exists(&device, &span, devices, problems);
                if device == DeviceId::disk() {
                    problems.push(Problem::at(
                        span,
                        "a model cannot be on disk as a whole: something must compute",
                    ));
                }
                DeviceMapRequest::Single(device)
            }
            (None, Err(_)) => {
                let mut known: Vec<&str> = StrategyName::ALL.iter().map(|strategy| strategy.as_str()).collect();
                known.extend(devices.iter().map(|device| device.id.as_str()));
                known.push("cpu");
                problems.push(
                    Problem::at(span, format!("`{word}` is neither a strategy nor a device"))
                        .hint(suggestion(word, &known)),
                );
                DeviceMapRequest::Single(DeviceId::cpu())
            }
        },
        DeviceMapValue::Table(map) => {
            if map.0.is_empty() {
                problems.push(Problem::at(span, "the device map is empty"));
            }
            for (module, device) in map.iter() {
                rules::device_exists(&device.0, &module.span(), devices, problems);
            }
            DeviceMapRequest::Manual(
                map.iter()
                    .map(|(module, device)| (module.get_ref().clone(), device.0.clone()))
                    .collect(),
            )
        }
    };
    let max_memory = table
        .max_memory
        .as_ref()
        .map(|budgets| rules::max_memory(budgets, devices, problems));
    PlacementRequest {
        device_map,
        max_memory,
        transfer: table.transfer.unwrap_or_default(),
        offload: table.offload.unwrap_or_default(),
        planner: table.planner.map_or_else(Dialect::default, Dialect::from),
    }
}

/// The placement's own expectations win over the scenario's, key by key.
fn resolve_expect(
    general: Option<&ExpectTable>,
    own: Option<&ExpectTable>,
    placement: &str,
    placements: &[&str],
    problems: &mut Vec<Problem>,
) -> Expectation {
    if let Some(own) = own {
        rules::expectation(own, placements, problems);
    }
    let empty = ExpectTable::default();
    let (general, own) = (general.unwrap_or(&empty), own.unwrap_or(&empty));
    let used = |table: &ExpectTable| match &table.min_devices_used {
        Some(DevicesUsed::All(number)) => Some(*number),
        Some(DevicesUsed::ByPlacement(map)) => map
            .iter()
            .find(|(name, _)| name.get_ref() == placement)
            .map(|(_, number)| *number),
        None => None,
    };
    let agreement = own
        .agreement
        .as_ref()
        .or(general.agreement.as_ref())
        .map(|table| AgreementSpec {
            reference: table.reference.get_ref().clone(),
            rule: table.rule.unwrap_or_default(),
            max_gap: table.max_gap.as_ref().map_or(DEFAULT_MAX_GAP, |gap| *gap.get_ref()),
        });
    let plain = |list: &Vec<Spanned<String>>| list.iter().map(|item| item.get_ref().clone()).collect::<Vec<_>>();
    Expectation {
        outcome: own.outcome.or(general.outcome).unwrap_or_default(),
        phase: own.phase.or(general.phase),
        at: own.at.clone().or_else(|| general.at.clone()),
        snapshot: own.snapshot.or(general.snapshot).unwrap_or(false),
        agreement,
        forbid_devices: own
            .forbid_devices
            .as_ref()
            .or(general.forbid_devices.as_ref())
            .map(plain)
            .unwrap_or_default(),
        min_devices_used: used(own).or_else(|| used(general)),
        contains: own
            .contains
            .clone()
            .or_else(|| general.contains.clone())
            .unwrap_or_default(),
        fails: own
            .fails
            .as_ref()
            .or(general.fails.as_ref())
            .map(plain)
            .unwrap_or_default(),
    }
}

fn resolve_faults(file: &ScenarioFile, placements: &[&str], problems: &mut Vec<Problem>) -> Vec<(Fault, Vec<String>)> {
    let mut faults = Vec::new();
    for table in file.fault.iter().flatten() {
        let fault = table.get_ref();
        rules::fault(table, placements, problems);
        let at = fault.at.clone().unwrap_or_default();
        let narrowed = fault
            .placements
            .iter()
            .flatten()
            .map(|name| name.get_ref().clone())
            .collect();
        faults.push((
            Fault {
                kind: fault.kind,
                at: FaultPoint {
                    hop: at.hop.map(Spanned::into_inner),
                    module: at.module,
                    phase: at.phase,
                    token: at.token,
                    bytes: at.bytes.map(|size| size.0),
                },
                delay_s: fault.delay.map(|period| period.0.as_secs_f64()),
            },
            narrowed,
        ));
    }
    faults
}

fn resolve_generation(file: &ScenarioFile, defaults: &DefaultsFile, problems: &mut Vec<Problem>) -> GenerationSpec {
    if let Some(table) = &file.generation {
        rules::generation(table, problems);
    }
    let own = file.generation.clone().unwrap_or_default();
    let general = defaults.generation.clone().unwrap_or_default();
    let sampling = own.do_sample.or(general.do_sample).unwrap_or(false).then(|| Sampling {
        temperature: own.temperature.or(general.temperature).map_or(1.0, Spanned::into_inner),
        top_k: own.top_k.or(general.top_k).map(|k| k.into_inner() as usize),
        top_p: own.top_p.or(general.top_p).map(Spanned::into_inner),
        seed: own.seed.or(general.seed).map_or(0, Spanned::into_inner),
    });
    GenerationSpec {
        max_new_tokens: own
            .max_new_tokens
            .or(general.max_new_tokens)
            .map_or(32, Spanned::into_inner),
        sampling,
        ignore_eos: own.ignore_eos.or(general.ignore_eos).unwrap_or(false),
        stop: own.stop.or(general.stop).unwrap_or_default(),
    }
}

fn resolve_timeouts(file: &ScenarioFile, defaults: &DefaultsFile) -> Timeouts {
    let own = file.timeout.clone().unwrap_or_default();
    let general = defaults.timeout.clone().unwrap_or_default();
    let seconds = |own: Option<super::value::Period>, general: Option<super::value::Period>, absent: f64| {
        own.or(general).map_or(absent, |period| period.0.as_secs_f64())
    };
    Timeouts {
        load_s: seconds(own.load, general.load, 60.0),
        first_token_s: seconds(own.first_token, general.first_token, 30.0),
        token_s: seconds(own.token, general.token, 10.0),
        total_s: seconds(own.total, general.total, 300.0),
    }
}

fn resolve_measure(file: &ScenarioFile, defaults: &DefaultsFile, problems: &mut Vec<Problem>) -> MeasureSpec {
    if let Some(table) = &file.measure {
        rules::measure(table, problems);
    }
    let own = file.measure.clone().unwrap_or_default();
    let general = defaults.measure.clone().unwrap_or_default();
    MeasureSpec {
        warmup: own.warmup.or(general.warmup).unwrap_or(1),
        repetitions: own.repetitions.or(general.repetitions).map_or(1, Spanned::into_inner),
        isolation: own.isolation.or(general.isolation).unwrap_or_default(),
    }
}

fn resolve_matrix(table: Option<&MatrixTable>, problems: &mut Vec<Problem>) -> Matrix {
    let Some(table) = table else { return Matrix::default() };
    for engine in table.engine.iter().flatten() {
        rules::engine(engine, problems);
    }
    Matrix {
        dtype: table.dtype.clone().unwrap_or_default(),
        transfer: table.transfer.clone().unwrap_or_default(),
        engine: table
            .engine
            .iter()
            .flatten()
            .map(|engine| engine.get_ref().clone())
            .collect(),
    }
}

fn merged_env(file: &ScenarioFile, defaults: &DefaultsFile) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::new();
    for (name, value) in defaults.env.iter().chain(&file.env).flat_map(Named::iter) {
        env.retain(|(other, _)| other != name.get_ref());
        env.push((name.get_ref().clone(), value.clone()));
    }
    env
}
