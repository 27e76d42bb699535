//! A scenario file that shows a failure with nothing in it that is not needed.
//!
//! Its two placements differ in what was found and in nothing else. It fails while the fault is there and passes once it is
//! mended, as a test for it must: so it can be sent with a report of the fault, and kept in a suite afterwards.

use serde_json::Value as Json;
use toml::{Table, Value};

use super::case::ProbeBase;
use super::space::Configuration;
use crate::device::DeviceId;
use crate::fault::Fault;
use crate::placement::{Concurrency, DeviceMapRequest, Offload, Transfer};
use crate::protocol::{ModelSource, Prompt};
use crate::record::{AgreementRule, CaseSpec, Isolation};
use crate::scenario::file::SCENARIO_VERSION;

/// Name of the placement that fails.
pub const FAILING: &str = "failing";
/// Name of the placement that passes.
pub const PASSING: &str = "passing";

/// What a reproducer is about.
#[derive(Debug, Clone, Copy)]
pub struct Reproducer<'a> {
    /// The failing case, the modules, and the faults.
    pub base: ProbeBase<'a>,
    /// The configuration that fails.
    pub failing: &'a Configuration,
    /// The configuration that passes.
    pub passing: &'a Configuration,
    /// What was found, in a sentence.
    pub sentence: &'a str,
    /// The search it comes from: the name of its run.
    pub run_id: &'a str,
}

/// The text of the scenario file. Model paths in it are absolute, so it runs from any folder of this machine.
///
/// # Errors
/// When a value cannot be written as TOML (a number above what TOML holds).
pub fn scenario_toml(about: &Reproducer<'_>) -> Result<String, toml::ser::Error> {
    let case = about.base.failing;
    let mut file = Table::new();
    insert(&mut file, "schema_version", i64::from(SCENARIO_VERSION));
    let description = format!(
        "{} Reduced by `placebench bisect` (run {}) from the case {} of {}.",
        sentence_case(about.sentence),
        about.run_id,
        case.case,
        case.file
    );
    insert(&mut file, "description", description);
    insert(&mut file, "tags", vec![Value::from("bisected")]);
    insert(&mut file, "engine", case.engine.clone());
    insert(&mut file, "model", model(case));
    if !case.devices.is_empty() {
        insert(&mut file, "devices", devices(case)?);
    }
    insert(&mut file, "prompt", prompts(case));
    insert(&mut file, "generation", generation(case)?);
    let mut placements = Table::new();
    insert(
        &mut placements,
        PASSING,
        placement(case, about.base.modules, about.passing),
    );
    insert(
        &mut placements,
        FAILING,
        placement(case, about.base.modules, about.failing),
    );
    insert(&mut file, "placement", placements);
    insert(&mut file, "timeout", timeout(case));
    insert(&mut file, "measure", measure(case));
    insert(&mut file, "expect", expect(case));
    if case.requires_cuda > 0 {
        let requires = Table::from_iter([("cuda".to_owned(), Value::from(i64::from(case.requires_cuda)))]);
        insert(&mut file, "requires", requires);
    }
    let faults = faults(about)?;
    if !faults.is_empty() {
        insert(&mut file, "fault", faults);
    }
    if !case.env.is_empty() {
        let env = case
            .env
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.clone())));
        insert(&mut file, "env", Table::from_iter(env));
    }
    let text = toml::to_string(&file)?;
    Ok(format!(
        "# `placebench run` of this file fails (exit code 100) while the fault is there, and passes once it is mended.\n{text}"
    ))
}

fn insert(table: &mut Table, key: &str, value: impl Into<Value>) {
    table.insert(key.to_owned(), value.into());
}

fn sentence_case(sentence: &str) -> String {
    format!("{}.", sentence.trim_end_matches('.'))
}

fn model(case: &CaseSpec) -> Table {
    let mut table = Table::new();
    let mut source = |model: &ModelSource, key: &str| match model {
        ModelSource::Hub { repo, revision, file } => {
            insert(&mut table, "repo", repo.clone());
            insert(&mut table, "revision", revision.clone());
            if let Some(file) = file {
                insert(&mut table, "file", file.clone());
            }
        }
        ModelSource::Path(path) => insert(&mut table, key, path.clone()),
        // Never inside another one.
        ModelSource::Dummy { .. } => {}
    };
    match &case.model {
        ModelSource::Dummy { config, seed } => {
            let is_file = config.path().is_some_and(|path| path.ends_with(".json"));
            source(config, if is_file { "config" } else { "path" });
            insert(&mut table, "load_format", "dummy");
            // TOML holds numbers up to 2^63; a larger seed was never read from a scenario.
            insert(&mut table, "seed", i64::try_from(*seed).unwrap_or(i64::MAX));
        }
        other => source(other, "path"),
    }
    if let Some(dtype) = case.dtype {
        insert(&mut table, "dtype", dtype.as_str());
    }
    if let Some(fetch) = case.model_fetch.as_ref().filter(|_| table.contains_key("path")) {
        insert(&mut table, "fetch", fetch.clone());
    }
    table
}

fn devices(case: &CaseSpec) -> Result<Table, toml::ser::Error> {
    let mut table = Table::new();
    for device in &case.devices {
        let mut own = Table::new();
        insert(&mut own, "on", device.on.as_str());
        if let Some(memory) = device.memory_bytes {
            insert(&mut own, "memory", Value::try_from(memory.0)?);
        }
        insert(&mut table, device.id.as_str(), own);
    }
    Ok(table)
}

/// The case's own prompt, then those of the sequences that are generated together with it: they follow it in the file.
fn prompts(case: &CaseSpec) -> Vec<Value> {
    let named = std::iter::once((case.prompt.clone(), &case.input)).chain(
        case.companion_inputs
            .iter()
            .enumerate()
            .map(|(index, input)| (format!("{}-with-{}", case.prompt, index + 1), input)),
    );
    named
        .map(|(name, input)| {
            let mut table = Table::new();
            insert(&mut table, "name", name);
            match input {
                Prompt::Text(text) => insert(&mut table, "text", text.clone()),
                Prompt::Messages(messages) => {
                    let turn = |role: &str, content: &str| {
                        Value::from(Table::from_iter([
                            ("role".to_owned(), Value::from(role)),
                            ("content".to_owned(), Value::from(content)),
                        ]))
                    };
                    let turns: Vec<Value> = messages.iter().map(|turn_| turn(&turn_.role, &turn_.content)).collect();
                    insert(&mut table, "messages", turns);
                }
                Prompt::InputIds(ids) => {
                    let ids: Vec<Value> = ids.iter().map(|id| Value::from(i64::from(*id))).collect();
                    insert(&mut table, "input_ids", ids);
                }
            }
            Value::from(table)
        })
        .collect()
}

fn generation(case: &CaseSpec) -> Result<Table, toml::ser::Error> {
    let spec = &case.generation;
    let mut table = Table::new();
    insert(&mut table, "max_new_tokens", i64::from(spec.max_new_tokens));
    if let Some(sampling) = &spec.sampling {
        insert(&mut table, "do_sample", true);
        insert(&mut table, "temperature", sampling.temperature);
        if let Some(top_k) = sampling.top_k {
            insert(&mut table, "top_k", Value::try_from(top_k)?);
        }
        if let Some(top_p) = sampling.top_p {
            insert(&mut table, "top_p", top_p);
        }
        insert(&mut table, "seed", Value::try_from(sampling.seed)?);
    }
    if spec.ignore_eos {
        insert(&mut table, "ignore_eos", true);
    }
    if !spec.stop.is_empty() {
        let stop: Vec<Value> = spec.stop.iter().map(|text| Value::from(text.clone())).collect();
        insert(&mut table, "stop", stop);
    }
    Ok(table)
}

fn placement(case: &CaseSpec, modules: &[String], configuration: &Configuration) -> Table {
    let mut table = Table::new();
    match configuration.device_map(modules) {
        DeviceMapRequest::Single(device) => insert(&mut table, "device_map", device.as_str()),
        _ => insert(&mut table, "device_map", ranges(modules, &configuration.devices)),
    }
    if configuration.transfer == Transfer::Host {
        insert(&mut table, "transfer", "host");
    }
    if configuration.offload == Offload::Stream {
        insert(&mut table, "offload", "stream");
    }
    match case.request.concurrency {
        Concurrency::Single => {}
        Concurrency::Batch(sequences) => insert(&mut table, "batch", i64::from(sequences)),
        Concurrency::InFlight(sequences) => insert(&mut table, "in_flight", i64::from(sequences)),
    }
    table
}

/// One key a module; consecutive layers on one device are joined to a range.
fn ranges(modules: &[String], devices: &[DeviceId]) -> Table {
    const LAYERS: &str = "model.layers.";
    let layer = |module: &str| {
        module
            .strip_prefix(LAYERS)
            .and_then(|number| number.parse::<usize>().ok())
    };
    let mut table = Table::new();
    let mut placed = modules.iter().zip(devices).peekable();
    while let Some((module, device)) = placed.next() {
        let Some(first) = layer(module) else {
            insert(&mut table, module, device.as_str());
            continue;
        };
        let mut last = first;
        while placed
            .next_if(|(next, place)| layer(next) == Some(last + 1) && *place == device)
            .is_some()
        {
            last += 1;
        }
        let key = if first == last {
            module.clone()
        } else {
            format!("{LAYERS}{first}-{last}")
        };
        insert(&mut table, &key, device.as_str());
    }
    table
}

fn timeout(case: &CaseSpec) -> Table {
    let limits = case.timeout;
    Table::from_iter(
        [
            ("load", limits.load_s),
            ("first_token", limits.first_token_s),
            ("token", limits.token_s),
            ("total", limits.total_s),
        ]
        .map(|(key, seconds)| (key.to_owned(), Value::from(seconds))),
    )
}

fn measure(case: &CaseSpec) -> Table {
    let mut table = Table::new();
    insert(&mut table, "warmup", i64::from(case.measure.warmup));
    insert(&mut table, "repetitions", i64::from(case.measure.repetitions));
    if case.measure.isolation == Isolation::Shared {
        insert(&mut table, "isolation", "shared");
    }
    table
}

fn expect(case: &CaseSpec) -> Table {
    let mut table = Table::new();
    if !case.expect.contains.is_empty() {
        let texts: Vec<Value> = case
            .expect
            .contains
            .iter()
            .map(|text| Value::from(text.clone()))
            .collect();
        insert(&mut table, "contains", texts);
    }
    let mut agreement = Table::new();
    insert(&mut agreement, "reference", PASSING);
    if let Some(known) = &case.expect.agreement {
        let rule = match known.rule {
            AgreementRule::Exact => "exact",
            AgreementRule::NearTie => "near_tie",
        };
        insert(&mut agreement, "rule", rule);
        // Through its shortest spelling, so that 0.05 stays 0.05.
        let max_gap: f64 = known.max_gap.to_string().parse().unwrap_or(f64::from(known.max_gap));
        insert(&mut agreement, "max_gap", max_gap);
    }
    insert(&mut table, "agreement", agreement);
    table
}

/// The faults that were injected, each for the placements it can strike.
fn faults(about: &Reproducer<'_>) -> Result<Vec<Value>, toml::ser::Error> {
    let failing = about.base.faults(about.failing);
    let passing = about.base.faults(about.passing);
    failing
        .iter()
        .map(|fault| {
            let mut table = fault_table(fault)?;
            if !passing.contains(fault) {
                insert(&mut table, "placements", vec![Value::from(FAILING)]);
            }
            Ok(Value::from(table))
        })
        .collect()
}

/// Records and scenarios spell faults alike, but for the delay, which has its unit in its name in records.
fn fault_table(fault: &Fault) -> Result<Table, toml::ser::Error> {
    let json = serde_json::to_value(fault).unwrap_or(Json::Null);
    let mut table = Table::try_from(&json)?;
    if let Some(delay) = table.remove("delay_s") {
        table.insert("delay".to_owned(), delay);
    }
    let has_conditions = table
        .get("at")
        .and_then(Value::as_table)
        .is_some_and(|at| !at.is_empty());
    if !has_conditions {
        table.remove("at");
    }
    Ok(table)
}
