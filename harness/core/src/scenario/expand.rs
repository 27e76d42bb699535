//! From a scenario to its cases: prompts × placements × the axes of the matrix.

use super::resolve::{NamedPlacement, Scenario};
use super::{OPENAI, TRANSFORMERS};
use crate::placement::Transfer;
use crate::protocol::{Dtype, Prompt};
use crate::record::{CaseSpec, Expectation, MeasureSpec};

/// One combination of the axes.
#[derive(Debug, Clone, Default)]
struct Point {
    dtype: Option<Dtype>,
    transfer: Option<Transfer>,
    engine: Option<String>,
    environment: Option<String>,
}

impl Point {
    /// `[dtype=f32,transfer=host]`, or nothing where the scenario has no axes.
    fn suffix(&self) -> String {
        let mut parts = Vec::new();
        if let Some(dtype) = self.dtype {
            parts.push(format!("dtype={}", dtype.as_str()));
        }
        if let Some(transfer) = self.transfer {
            let name = match transfer {
                Transfer::Direct => "direct",
                Transfer::Host => "host",
            };
            parts.push(format!("transfer={name}"));
        }
        if let Some(engine) = &self.engine {
            parts.push(format!("engine={engine}"));
        }
        if let Some(environment) = &self.environment {
            parts.push(format!("environment={environment}"));
        }
        if parts.is_empty() {
            String::new()
        } else {
            format!("[{}]", parts.join(","))
        }
    }

    /// Whether a placement is for the engine and the environment of this combination.
    fn has(&self, placement: &NamedPlacement, engine: &str) -> bool {
        let has_environment = |named| placement.environments.contains(named);
        placement.is_for(engine)
            && (placement.environments.is_empty() || self.environment.as_ref().is_some_and(has_environment))
    }
}

/// The cases of a scenario, in the order of the file.
#[must_use]
pub fn expand(scenario: &Scenario, snapshot_dir: &str) -> Vec<CaseSpec> {
    let points = points(scenario);
    let mut cases = Vec::new();
    for prompt in 0..scenario.prompts.len() {
        for point in &points {
            let engine = point.engine.as_ref().unwrap_or(&scenario.engine);
            let is_here = |placement: &&NamedPlacement| point.has(placement, engine);
            for placement in scenario.placements.iter().filter(is_here) {
                cases.push(case(scenario, prompt, placement, point, snapshot_dir));
            }
        }
    }
    cases
}

fn points(scenario: &Scenario) -> Vec<Point> {
    let matrix = &scenario.matrix;
    let mut points = vec![Point::default()];
    multiply(&mut points, &matrix.dtype, |point, value| point.dtype = Some(*value));
    multiply(&mut points, &matrix.transfer, |point, value| {
        point.transfer = Some(*value);
    });
    multiply(&mut points, &matrix.engine, |point, value| {
        point.engine = Some(value.clone());
    });
    // Only one engine has environments: the others are not run again for each of them.
    let of_point = |point: Point| {
        let has_environments = point.engine.as_ref().unwrap_or(&scenario.engine) == TRANSFORMERS;
        let mut own = vec![point];
        if has_environments {
            multiply(&mut own, &matrix.environment, |point, value| {
                point.environment = Some(value.clone());
            });
        }
        own
    };
    points.into_iter().flat_map(of_point).collect()
}

fn multiply<T>(points: &mut Vec<Point>, axis: &[T], set: impl Fn(&mut Point, &T)) {
    if axis.is_empty() {
        return;
    }
    let product = points.iter().flat_map(|point| {
        let set = &set;
        axis.iter().map(move |value| {
            let mut point = point.clone();
            set(&mut point, value);
            point
        })
    });
    *points = product.collect();
}

/// What must be true of a case: an agreement is held where the engine has its reference, and an engine is held to the one that
/// sets the measure.
fn expectation(scenario: &Scenario, placement: &NamedPlacement, point: &Point, engine: &str) -> Expectation {
    let mut expect = placement.expect.clone();
    let is_here = |name: &str| {
        let mut known = scenario.placements.iter().filter(|other| other.name == name);
        known.any(|other| point.has(other, engine))
    };
    expect.agreement = expect.agreement.filter(|agreement| is_here(&agreement.reference));
    match &mut expect.agreement {
        Some(agreement) => agreement.reference.push_str(&point.suffix()),
        // What is not held cannot fail.
        None if placement.expect.agreement.is_some() => {
            expect
                .fails
                .retain(|check| !matches!(check.as_str(), "agreement" | "probe"));
        }
        None => {}
    }
    expect.engines = expect.engines.filter(|engines| engines.engine != engine);
    if let Some(engines) = &mut expect.engines {
        engines
            .reference
            .push_str(&engines_reference(scenario, point, &engines.engine).suffix());
    }
    expect
}

/// The same combination under the engine that sets the measure, in the first of its environments.
fn engines_reference(scenario: &Scenario, point: &Point, engine: &str) -> Point {
    Point {
        engine: Some(engine.to_owned()),
        environment: (engine == TRANSFORMERS)
            .then(|| scenario.matrix.environment.first().cloned())
            .flatten(),
        ..point.clone()
    }
}

fn case(scenario: &Scenario, prompt: usize, placement: &NamedPlacement, point: &Point, snapshot_dir: &str) -> CaseSpec {
    // The sequences of a batch: the case's own prompt, then those that follow it in the file, round and round.
    let mut prompts = scenario.prompts.iter().cycle().skip(prompt);
    let (prompt_name, input) = prompts
        .next()
        .cloned()
        .unwrap_or_else(|| (String::new(), Prompt::InputIds(Vec::new())));
    let companions = placement.request.concurrency.sequences() as usize - 1;
    let companion_inputs = prompts.take(companions).map(|(_, prompt)| prompt.clone()).collect();
    let suffix = point.suffix();
    let name = format!("{}{suffix}", placement.name);
    let mut request = placement.request.clone();
    if let Some(transfer) = point.transfer {
        request.transfer = transfer;
    }
    let engine = point.engine.clone().unwrap_or_else(|| scenario.engine.clone());
    let expect = expectation(scenario, placement, point, &engine);
    let mut transformers = scenario.transformers.clone().filter(|_| engine == TRANSFORMERS);
    if let Some(environment) = &point.environment {
        transformers.get_or_insert_default().environment = Some(environment.clone());
    }
    let server = placement.server.clone().filter(|_| engine == OPENAI);
    let applies = |placements: &Vec<String>| placements.is_empty() || placements.contains(&placement.name);
    CaseSpec {
        case: format!("{}/{prompt_name}/{name}", scenario.origin.name),
        scenario: scenario.origin.name.clone(),
        prompt: prompt_name,
        placement: name,
        file: scenario.origin.file.clone(),
        line: placement.line,
        description: scenario.description.clone(),
        tags: scenario.tags.clone(),
        engine,
        model: scenario.model.clone(),
        model_fetch: scenario.model_fetch.clone(),
        dtype: point.dtype.or(scenario.dtype),
        devices: scenario.devices.clone(),
        rates: scenario.rates.clone(),
        request,
        input,
        companion_inputs,
        generation: scenario.generation.clone(),
        timeout: placement.timeout,
        measure: MeasureSpec {
            // Where the reference is not for this engine, there is nothing to compare with.
            probe: placement.probe && expect.agreement.is_some() == placement.expect.agreement.is_some(),
            ..scenario.measure
        },
        expect,
        requires_cuda: scenario.requires_cuda,
        faults: scenario
            .faults
            .iter()
            .filter(|(_, placements)| applies(placements))
            .map(|(fault, _)| fault.clone())
            .collect(),
        env: scenario.env.clone(),
        snapshot_dir: snapshot_dir.to_owned(),
        program: scenario.program.clone(),
        audit: None,
        transformers,
        server,
    }
}
