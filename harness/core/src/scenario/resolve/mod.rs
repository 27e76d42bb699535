//! From [`ScenarioFile`] to [`Scenario`]: everything a person can get wrong is checked here, all of it at once.

mod engines;
mod launch;
mod model;
mod placements;
mod program;
mod prompts;
mod rates;
mod server;
mod settings;
mod transformers;

use std::path::{Path, PathBuf};

use self::engines::{Engines, placement_engines, resolve_engines, settle_engines};
use self::launch::check_launches;
use self::model::resolve_model;
use self::placements::{resolve_expect, resolve_faults, resolve_placement};
use self::program::{check_env, resolve_program};
use self::prompts::resolve_prompts;
pub use self::rates::rates_from_json;
use self::rates::resolve_rates;
use self::server::{check_server, resolve_server};
use self::settings::{
    check_environments, merged_env, placement_environments, resolve_generation, resolve_matrix, resolve_measure,
    resolve_timeouts, settle_probes, states_repetitions,
};
pub use self::transformers::TRANSFORMERS_FAULTS;
use self::transformers::{Executed, resolve_transformers};
use super::file::{DefaultsFile, SCENARIO_VERSION, ScenarioFile};
use super::problem::Problem;
use super::rules;
use super::value::Named;
use crate::device::{DeviceId, LogicalDevice};
use crate::fault::Fault;
use crate::placement::{PlacementRequest, Transfer};
use crate::planner::Rates;
use crate::protocol::{Dtype, GenerationSpec, ModelSource, Prompt};
use crate::record::{Expectation, MeasureSpec, ProgramSpec, ServerSpec, Timeouts, TransformersSpec};

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
    /// How fast devices and links are, where that is stated.
    pub rates: Option<Rates<DeviceId>>,
    /// Prompts with their names.
    pub prompts: Vec<(String, Prompt)>,
    /// How to generate.
    pub generation: GenerationSpec,
    /// Placements.
    pub placements: Vec<NamedPlacement>,
    /// Repetitions.
    pub measure: MeasureSpec,
    /// The scenario or its suite says how many repetitions; a profile's number then gives way.
    pub states_repetitions: bool,
    /// CUDA devices needed.
    pub requires_cuda: u32,
    /// Faults, each with the placements it applies to (none named: all).
    pub faults: Vec<(Fault, Vec<String>)>,
    /// Axes.
    pub matrix: Matrix,
    /// Variables for the worker.
    pub env: Vec<(String, String)>,
    /// The program that is the engine, where one is.
    pub program: Option<ProgramSpec>,
    /// How the engine `transformers` is to be run, where one is.
    pub transformers: Option<TransformersSpec>,
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
    /// Its deadlines.
    pub timeout: Timeouts,
    /// The logits of the prompt are compared with those of the reference placement before anything is generated.
    pub probe: bool,
    /// The engines it is for; empty: all.
    pub engines: Vec<String>,
    /// The server of the engine `openai`.
    pub server: Option<ServerSpec>,
    /// The Python environments it is for; empty: all, and engines without any.
    pub environments: Vec<String>,
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
    /// Python environments, for the engine `transformers` alone.
    pub environment: Vec<String>,
}

impl Matrix {
    /// Combinations of the axes, as many as there are at most: 1 where there is none.
    #[must_use]
    pub fn points(&self) -> usize {
        let axes = [
            self.dtype.len(),
            self.transfer.len(),
            self.engine.len(),
            self.environment.len(),
        ];
        axes.into_iter().map(|values| values.max(1)).product()
    }
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
    let Engines { engine, axis } = resolve_engines(file, defaults, &mut problems);
    let (model, model_fetch, dtype) = resolve_model(file, &origin, &mut problems);
    let devices = resolve_devices(file, &mut problems);
    let rates = resolve_rates(file, &origin, &devices, read_text, &mut problems);
    let prompts = resolve_prompts(file, &origin, read_text, &mut problems);
    let names: Vec<&str> = file.placement.as_ref().map(Named::names).unwrap_or_default();
    if names.is_empty() {
        problems.push(
            Problem::general("the scenario has no placement")
                .hint("add for example: [placement.single] with device_map = \"cpu\""),
        );
    }
    let mut placements = resolve_placements(file, defaults, (text, &origin), &devices, &mut problems);
    settle_probes(file, defaults, &mut placements);
    if let Some(table) = &file.expect {
        rules::expectation(table, &names, &mut problems);
    }
    let faults = resolve_faults(file, &names, &devices, &mut problems);
    check_launches(file, &placements, (&engine, &axis), &mut problems);
    let generation = resolve_generation(file, defaults, &mut problems);
    let measure = resolve_measure(file, defaults, &mut problems);
    let mut matrix = resolve_matrix(file.matrix.as_ref(), &mut problems);
    let is_compared = !axis.is_empty();
    if is_compared {
        matrix.engine = axis;
    }
    settle_engines(
        file,
        (&engine, &matrix.engine),
        is_compared,
        &mut placements,
        &mut problems,
    );
    let executed = Executed {
        engine: &engine,
        matrix: &matrix,
        placements: &placements,
    };
    let transformers = resolve_transformers(file, &executed, &mut problems);
    check_environments(file, &engine, &matrix, &mut problems);
    check_server(file, &engine, &matrix, &mut problems);
    let program = resolve_program(file, &engine, &matrix, text, &origin, &mut problems);
    check_env(file.env.as_ref(), &mut problems);
    rules::case_count([prompts.len(), placements.len(), matrix.points()], &mut problems);
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
        rates,
        prompts,
        generation,
        placements,
        measure,
        states_repetitions: states_repetitions(file, defaults),
        requires_cuda: file.requires.as_ref().and_then(|table| table.cuda).unwrap_or(0),
        faults,
        matrix,
        env: merged_env(file, defaults),
        program,
        transformers,
        origin,
    })
}

fn resolve_placements(
    file: &ScenarioFile,
    defaults: &DefaultsFile,
    (text, origin): (&str, &Origin),
    devices: &[LogicalDevice],
    problems: &mut Vec<Problem>,
) -> Vec<NamedPlacement> {
    let names: Vec<&str> = file.placement.as_ref().map(Named::names).unwrap_or_default();
    let mut placements = Vec::new();
    for (name, table) in file.placement.iter().flat_map(Named::iter) {
        rules::name(name, "placement", problems);
        let request = resolve_placement(table, devices, problems);
        let expect = resolve_expect(
            file.expect.as_ref(),
            table.expect.as_ref(),
            (name.get_ref(), names.as_slice()),
            devices,
            problems,
        );
        placements.push(NamedPlacement {
            name: name.get_ref().clone(),
            line: Problem::at(name.span(), "").position(text).map_or(1, |(line, _)| line),
            request,
            expect,
            timeout: resolve_timeouts(table.timeout.as_ref(), file, defaults),
            probe: false,
            engines: placement_engines(table, problems),
            server: resolve_server(file, table, text, origin, problems),
            environments: placement_environments(table, file, problems),
        });
    }
    placements
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
    check_env(defaults.env.as_ref(), &mut problems);
    if problems.is_empty() { Ok(()) } else { Err(problems) }
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
