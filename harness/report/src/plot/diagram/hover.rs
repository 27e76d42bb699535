//! What a placement diagram says to whoever points at a module or a hop.

use crate::plot::scene::Scene;
use crate::view::hops::HopView;
use crate::view::modules::{ModuleView, short};

use super::Row;
use super::block::{BLOCK, Run};

/// Regions on the blocks of lanes, and on the arrows between them.
pub(super) fn lanes(scene: &mut Scene, row: &Row<'_>, y_of: impl Fn(&str) -> Option<f64>) {
    for (run, words) in modules(row) {
        let module = row.case.placed.modules.get(run.from);
        if let Some(y) = module.and_then(ModuleView::rests).and_then(&y_of) {
            let left = row.columns.left(run.from);
            scene.hover((left, y), (row.columns.left(run.to) - left, BLOCK), words);
        }
    }
    for hop in row.case.placed.hops.iter().take(row.layout.hovers / 2) {
        if let Some((from, to)) = y_of(&hop.from).zip(y_of(&hop.to)) {
            let x = row.columns.left(hop.at);
            let top = from.min(to) + BLOCK;
            scene.hover((x - 7.0, top), (14.0, from.max(to) - top), hop_words(hop));
        }
    }
}

/// Regions on the modules of a strip.
pub(super) fn strip(scene: &mut Scene, row: &Row<'_>, (y, height): (f64, f64)) {
    for (run, words) in modules(row) {
        let left = row.columns.left(run.from);
        scene.hover((left, y), (row.columns.left(run.to) - left, height), words);
    }
}

/// Each module with its words; neighbours that are alike together where there are too many.
fn modules(row: &Row<'_>) -> Vec<(Run, String)> {
    let most = row.layout.hovers;
    let runs = if row.columns.len() <= most {
        row.runs(|index, _| Some(index))
            .into_iter()
            .map(|(run, _)| run)
            .collect()
    } else {
        let alike = |_: usize, module: &ModuleView| {
            let devices = [&module.requested, &module.resolved, &module.realised, &module.runs_on];
            Some((devices.map(Option::clone), module.bytes))
        };
        let runs: Vec<Run> = row.runs(alike).into_iter().map(|(run, _)| run).collect();
        if runs.len() > most { Vec::new() } else { runs }
    };
    runs.into_iter().map(|run| (run, words(row, run))).collect()
}

/// `layers.3 · sim:0 · 770 KiB · f32`.
fn words(row: &Row<'_>, run: Run) -> String {
    let place = &row.case.placed;
    let Some(module) = place.modules.get(run.from) else {
        return String::new();
    };
    let mut words = short(&module.module).to_owned();
    if let Some(last) = place.modules.get(run.to - 1).filter(|_| run.to - run.from > 1) {
        words = format!("{words} … {}, each", short(&last.module));
    }
    if let Some(device) = module.rests() {
        let planned = if place.loaded { "" } else { "planned on " };
        words.push_str(&format!(" · {planned}{device}"));
    }
    for part in [module.size.as_str(), place.dtype] {
        if !part.is_empty() {
            words.push_str(&format!(" · {part}"));
        }
    }
    for (what, device) in [("planned on", module.missed()), ("runs on", module.runs_on.as_deref())] {
        if let Some(device) = device {
            words.push_str(&format!(" · {what} {device}"));
        }
    }
    words
}

/// `layers.3 → layers.4 · sim:0 → sim:1 · 512 B · 5.00 µs · direct`.
fn hop_words(hop: &HopView) -> String {
    let name = format!("{} → {}", short(&hop.after), short(&hop.before));
    let devices = format!("{} → {}", hop.from, hop.to);
    let parts = [name, devices, hop.cost(), hop.way.clone()];
    let known: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    known.join(" · ")
}
