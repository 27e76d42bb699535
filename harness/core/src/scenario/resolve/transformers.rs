//! How the stack of Hugging Face is run, and what it cannot be asked for.

use std::ops::Range;

use toml::Spanned;

use super::{Matrix, NamedPlacement};
use crate::device::{DeviceId, DeviceKind};
use crate::fault::FaultKind;
use crate::record::TransformersSpec;
use crate::scenario::TRANSFORMERS;
use crate::scenario::file::{PlacementTable, ScenarioFile};
use crate::scenario::problem::Problem;
use crate::scenario::rules;
use crate::scenario::value::{DeviceMapValue, Named};

/// The faults its worker can inject, as that says itself in `FAULTS`. The others would have to be done to the tensors of
/// Accelerate's own copies, which no hook reaches.
pub const TRANSFORMERS_FAULTS: [FaultKind; 9] = [
    FaultKind::Stall,
    FaultKind::Crash,
    FaultKind::Nan,
    FaultKind::OutOfMemory,
    FaultKind::Unkillable,
    FaultKind::SlowStep,
    FaultKind::SlowLink,
    FaultKind::Garbage,
    FaultKind::Leak,
];

/// What leaves a placement or a fault to another engine.
const LEAVE_IT: &str = "engines = [\"candle\"] under a placement leaves it to candle";

/// The engines of a scenario, as they are known when this is resolved.
pub(super) struct Executed<'a> {
    pub(super) engine: &'a str,
    pub(super) matrix: &'a Matrix,
    pub(super) placements: &'a [NamedPlacement],
}

impl Executed<'_> {
    fn uses_transformers(&self) -> bool {
        match self.matrix.engine.as_slice() {
            [] => self.engine == TRANSFORMERS,
            axis => axis.iter().any(|engine| engine == TRANSFORMERS),
        }
    }

    /// Whether the placement is executed by this engine.
    fn has(&self, placement: &str) -> bool {
        let found = self.placements.iter().find(|known| known.name == placement);
        found.is_some_and(|known| known.engines.is_empty() || known.engines.iter().any(|engine| engine == TRANSFORMERS))
    }
}

pub(super) fn resolve_transformers(
    file: &ScenarioFile,
    executed: &Executed<'_>,
    problems: &mut Vec<Problem>,
) -> Option<TransformersSpec> {
    if !executed.uses_transformers() {
        if let Some(table) = &file.transformers {
            problems.push(
                Problem::at(table.span(), "[transformers] is used by no engine of this scenario")
                    .hint(format!("write engine = \"{TRANSFORMERS}\", or remove it")),
            );
        }
        return None;
    }
    for (name, table) in file.placement.iter().flat_map(Named::iter) {
        if executed.has(name.get_ref()) {
            placement(table, problems);
        }
    }
    faults(file, executed, problems);
    stored_types(file, executed.matrix, problems);
    let table = file.transformers.as_ref()?.get_ref();
    if let Some(environment) = &table.environment {
        rules::name(environment, "Python environment", problems);
    }
    if let Some(attention) = &table.attention {
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_word(attention.get_ref()) {
            problems.push(
                Problem::at(attention.span(), "attention is a name that the library knows")
                    .hint("eager, sdpa, flash_attention_2, …"),
            );
        }
    }
    let device = |key: &Option<Spanned<String>>, problems: &mut Vec<Problem>| {
        let written = key.as_ref()?;
        match DeviceId::new(written.get_ref()) {
            Ok(device) if matches!(device.kind(), DeviceKind::Cpu | DeviceKind::Cuda(_)) => {
                Some(device.as_str().to_owned())
            }
            _ => {
                problems.push(
                    Problem::at(
                        written.span(),
                        format!("`{}` is no device of PyTorch's", written.get_ref()),
                    )
                    .hint("write cpu, or cuda:0"),
                );
                None
            }
        }
    };
    Some(TransformersSpec {
        environment: table.environment.as_ref().map(|name| name.get_ref().clone()),
        attention: table.attention.as_ref().map(|name| name.get_ref().clone()),
        move_to: device(&table.move_to, problems),
        inputs_on: device(&table.inputs_on, problems),
    })
}

/// What a placement may ask of it.
fn placement(table: &PlacementTable, problems: &mut Vec<Problem>) {
    if let Some(written) = &table.device_map {
        match written.get_ref() {
            DeviceMapValue::Word(word) if word == super::placements::OPTIMAL => problems.push(
                Problem::at(
                    written.span(),
                    "optimal is planned by placebench, and the engine transformers plans by itself",
                )
                .hint(LEAVE_IT),
            ),
            DeviceMapValue::Word(word) => {
                if let Ok(device) = DeviceId::new(word) {
                    real_device(&device, written.span(), problems);
                }
            }
            DeviceMapValue::Table(map) => {
                for (_, device) in map.iter() {
                    real_device(&device.0, written.span(), problems);
                }
            }
        }
    }
    for (name, _) in table.max_memory.iter().flat_map(|budgets| budgets.get_ref().iter()) {
        if let Ok(device) = DeviceId::new(name.get_ref()) {
            real_device(&device, name.span(), problems);
        }
    }
    if let Some(in_flight) = &table.in_flight
        && *in_flight.get_ref() > 1
    {
        problems.push(
            Problem::at(in_flight.span(), "generate() of transformers makes one batch at a time")
                .hint(format!("write batch instead; {LEAVE_IT}")),
        );
    }
}

/// PyTorch has one cpu, and cannot keep a budget on a part of a device.
fn real_device(device: &DeviceId, span: Range<usize>, problems: &mut Vec<Problem>) {
    let what = match device.kind() {
        DeviceKind::Cpu | DeviceKind::Disk | DeviceKind::Cuda(_) => return,
        DeviceKind::Logical => "is a logical device",
        DeviceKind::Metal(_) => "is not supported there",
    };
    problems.push(
        Problem::at(
            span,
            format!("`{device}` {what}: the engine transformers knows cpu, disk and cuda:N"),
        )
        .hint(LEAVE_IT),
    );
}

fn faults(file: &ScenarioFile, executed: &Executed<'_>, problems: &mut Vec<Problem>) {
    for table in file.fault.iter().flatten() {
        let fault = table.get_ref();
        if TRANSFORMERS_FAULTS.contains(&fault.kind) {
            continue;
        }
        let named: Vec<&str> = match &fault.placements {
            Some(named) => named.iter().map(|name| name.get_ref().as_str()).collect(),
            None => executed.placements.iter().map(|known| known.name.as_str()).collect(),
        };
        if named.into_iter().any(|name| executed.has(name)) {
            problems.push(
                Problem::at(
                    table.span(),
                    format!("the engine transformers cannot inject {}", fault.kind.as_str()),
                )
                .hint(format!("name the placements it is for; {LEAVE_IT}")),
            );
        }
    }
}

/// A quantised file is computed with as it is by candle only.
fn stored_types(file: &ScenarioFile, matrix: &Matrix, problems: &mut Vec<Problem>) {
    let Some(model) = file.model.as_ref().map(Spanned::get_ref) else {
        return;
    };
    if model.dtype.is_some() || !matrix.dtype.is_empty() {
        return;
    }
    for key in [&model.path, &model.file].into_iter().flatten() {
        if key.get_ref().ends_with(".gguf") {
            problems.push(
                Problem::at(
                    key.span(),
                    "transformers dequantises GGUF files and cannot compute with them as stored",
                )
                .hint("add dtype = \"f32\" to the model"),
            );
        }
    }
}
