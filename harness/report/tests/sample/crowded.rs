//! Made-up cases for charts that must hold many devices: placements over up to twelve GPUs, one stage on each.

#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "test code that several binaries share; each uses its own part"
)]

use std::collections::HashMap;

use placebench_core::judge::judge;
use placebench_core::outcome::Outcome;
use placebench_core::protocol::{MemoryFigure, RealisedModule};
use placebench_core::record::{Attempt, CaseSpec, RunRecord};
use placebench_core::units::Bytes;
use placebench_report::plot::font;
use placebench_report::plot::scene::{Anchor, Mark, Scene};

use super::sample::{TEXT, attempt, device, empty, generation, manual, memory, realised, spec};

pub(crate) const GIB: u64 = 1 << 30;

/// A case with nothing that two logical devices would leave behind.
pub(crate) fn case(placement: &str) -> CaseSpec {
    let mut made = spec("crowded/all", "story", placement, manual());
    made.devices.clear();
    made.expect.agreement = None;
    made
}

/// A completed attempt with a stage on each device, in order, and the seconds of stages and hops of each step.
pub(crate) fn staged(case: &CaseSpec, number: u32, devices: &[&str], steps: &[Vec<f64>]) -> Attempt {
    let mut made = attempt(&case.case, number, Outcome::Completed);
    for (index, name) in devices.iter().enumerate() {
        made.places.push((format!("model.layers.{index}"), device(name)));
        made.memory.extend(held(name, 5 * GIB, GIB, 7 * GIB, Some(80 * GIB)));
    }
    let mut timed = generation(TEXT, number, 0.1, 0.02, devices.len() as u32 - 1);
    let mut now_s = 0.0;
    timed.output_ids.truncate(steps.len());
    timed.token_stamps_s = steps
        .iter()
        .map(|step| {
            now_s += step.iter().sum::<f64>() + 1e-4;
            now_s
        })
        .collect();
    timed.stage_times_s = steps.to_vec();
    made.generations.push(timed);
    made
}

/// Weights, cache and peak of a device.
pub(crate) fn held(name: &str, weights: u64, cache: u64, peak: u64, allowed: Option<u64>) -> Vec<MemoryFigure> {
    let mut figures = memory(name, weights, cache, peak, 0);
    for figure in &mut figures {
        figure.allowed_bytes = allowed.map(Bytes);
    }
    figures
}

/// One module of so many bytes on a device.
pub(crate) fn loaded(name: &str, bytes: u64) -> Vec<RealisedModule> {
    let mut modules = realised(1, name, name);
    modules.truncate(1);
    modules[0].bytes = Bytes(bytes);
    modules
}

/// A run of these cases, judged.
pub(crate) fn run(cases: Vec<(CaseSpec, Vec<Attempt>)>) -> RunRecord {
    let mut record = empty();
    for (spec, attempts) in cases {
        record.info.cases.push(spec);
        record.attempts.extend(attempts);
    }
    record.verdict = judge(&record.info, &record.attempts, &HashMap::new(), true);
    record
}

/// So many placements over so many GPUs, with names of sixty characters that want to be markup.
pub(crate) fn crowd(placements: usize, gpus: usize) -> RunRecord {
    let cases = (0..placements).map(|number| {
        let spec = case(&format!(
            "placement {number:02} <b>with a name of about sixty characters</b>!"
        ));
        let names: Vec<String> = (0..gpus)
            .map(|gpu| format!("a-node-whose-name-has-about-sixty-characters-{number}:{gpu}"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let step: Vec<f64> = (0..2 * gpus - 1).map(|index| 1e-3 * (1 + index % 3) as f64).collect();
        let made = staged(&spec, 0, &names, &[step.clone(), step.clone(), step]);
        (spec, vec![made])
    });
    run(cases.collect())
}

/// Left, top, right and bottom of a text.
fn extent(mark: &Mark) -> Option<(f64, f64, f64, f64, &str)> {
    let Mark::Text {
        at,
        text,
        size,
        weight,
        anchor,
        ..
    } = mark
    else {
        return None;
    };
    let width = font::width(text, *size, *weight);
    let left = match anchor {
        Anchor::Start => at.0,
        Anchor::Middle => at.0 - width / 2.0,
        Anchor::End => at.0 - width,
    };
    Some((left, at.1 - 0.72 * size, left + width, at.1 + 0.1 * size, text))
}

/// Nothing leaves the picture, and no two texts cover each other.
pub(crate) fn assert_tidy(scene: &Scene, what: &str) {
    let texts: Vec<_> = scene.marks.iter().filter_map(extent).collect();
    for (number, (left, top, right, bottom, text)) in texts.iter().enumerate() {
        assert!(
            *left >= -1.0 && *right <= scene.width + 1.0 && *bottom <= scene.height + 1.0,
            "{what}: “{text}” from {left} to {right}, bottom {bottom}, in {}×{}",
            scene.width,
            scene.height
        );
        for (other_left, other_top, other_right, other_bottom, other) in &texts[number + 1..] {
            let is_apart = right <= other_left || other_right <= left || bottom <= other_top || other_bottom <= top;
            assert!(is_apart, "{what}: “{text}” covers “{other}”");
        }
    }
    for mark in &scene.marks {
        if let Mark::Rect { x, y, w, h, .. } | Mark::Hover { x, y, w, h, .. } = mark {
            assert!(
                *x >= -1.0 && x + w <= scene.width + 1.5 && y + h <= scene.height + 1.0,
                "{what}: {mark:?} in {}×{}",
                scene.width,
                scene.height
            );
        }
    }
}
