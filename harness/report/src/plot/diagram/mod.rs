//! Where every module is and what it takes to get from one to the next: modules in order of execution from left to right,
//! as wide as their bytes; a lane for each device, or one strip where there is no room for lanes.

mod block;
mod columns;
mod hover;
mod lanes;
mod strip;

use crate::view::device_use::DeviceUseView;
use crate::view::modules::{ModuleView, PlacementView, names};
use crate::view::timing::Timing;
use crate::view::words::count;
use crate::view::{CaseView, ReportView};

use super::font::{Weight, wrap};
use super::palette::Paint;
use super::scene::{Scene, Style, size};
use super::{Frame, label, legend};
use block::{BLOCK, Look, Run, blocks};
use columns::Columns;

/// Below this width there is no room for lanes.
const LANES_FROM: f64 = 600.0;
/// More devices than this are read better in a strip.
const MOST_LANES: usize = 4;
/// More hops than this leave no room between their arrows.
const MOST_ARROWS: usize = 30;
/// More placements than this are drawn low.
const MOST_TALL: usize = 8;
/// The bar of a gauge, and the longest words beside it.
const GAUGE: (f64, f64) = (56.0, 190.0);
/// Room between two rows.
const BETWEEN: f64 = 18.0;
/// Regions of a whole chart that answer a pointer; each costs a page about a hundred bytes.
const MOST_HOVERS: usize = 100;
/// Text has this much more room than it needs in our own font.
const SLACK: f64 = 1.15;

/// And so much where there is room, so that no usual font of a browser has to set it closer.
const AMPLE: f64 = 1.2;

/// The widest font of browsers is so much wider than ours.
const BROWSER: f64 = 1.3;

/// Where things are from left to right, the same for every row.
#[derive(Debug, Clone, Copy)]
struct Layout<'a> {
    /// The placement that others are compared with.
    reference: &'a str,
    frame: Frame,
    /// Left side and width of the modules.
    modules: (f64, f64),
    /// Left side and width of the gauges; no width where there are none.
    gauges: (f64, f64),
    /// Any gauge has a bar, beside which words stand.
    has_bars: bool,
    /// Rows are as low as they can be.
    is_compact: bool,
    /// Regions that may answer a pointer in each row.
    hovers: usize,
}

/// The placements of a prompt; `reference` is the one that others are compared with.
pub(super) fn draw(scene: &mut Scene, view: &ReportView, (cases, reference): (&[CaseView], &str), frame: Frame) -> f64 {
    let layout = Layout::new((cases, reference), frame);
    let mut y = legend_of_strips(scene, view, cases, &layout);
    let mut columns: Option<Columns> = None;
    let mut looks: Vec<Look> = Vec::new();
    let mut is_explained = !layout.has_bars;
    for case in cases {
        let modules = &case.placed.modules;
        if case.placed.stages.is_empty() {
            y = nothing(scene, case, &layout, y) + BETWEEN;
            continue;
        }
        let known = columns.take().filter(|columns| columns.are_of(modules));
        let shared = known.unwrap_or_else(|| {
            let new = Columns::new(modules, cases, layout.modules.0, layout.modules.1);
            if !is_explained {
                explain_gauges(scene, &layout, y);
                is_explained = true;
            }
            y = new.draw_names(scene, y) + 4.0;
            if !new.is_to_scale && new.len() > 1 {
                let why = "Equal widths: nothing was loaded, so the bytes of modules are not known.";
                scene.text((frame.x, y + 10.0), why, Style::NOTE, frame.width);
                y += 18.0;
            }
            new
        });
        let row = Row {
            case,
            columns: &shared,
            layout: &layout,
        };
        row.add_looks(&mut looks);
        y = match layout.lanes(case) {
            Some(lanes) => lanes::draw(scene, &row, lanes, y),
            None => strip::draw(scene, &row, y),
        } + if layout.is_compact { 6.0 } else { BETWEEN };
        columns = Some(shared);
    }
    key(scene, frame, &looks, if layout.is_compact { y + 8.0 } else { y - 4.0 })
}

/// A placement and where to draw it.
struct Row<'a> {
    case: &'a CaseView,
    columns: &'a Columns,
    layout: &'a Layout<'a>,
}

impl<'a> Layout<'a> {
    fn new((cases, reference): (&'a [CaseView], &'a str), frame: Frame) -> Self {
        let mut layout = Self {
            // Alone, it is a reference for nobody.
            reference: if cases.len() > 1 { reference } else { "" },
            frame,
            modules: (frame.x, frame.width),
            gauges: (frame.right(), 0.0),
            has_bars: false,
            is_compact: cases.len() > MOST_TALL,
            hovers: (MOST_HOVERS / cases.len().max(1)).min(60),
        };
        let lanes: Vec<&DeviceUseView> = cases.iter().filter_map(|case| layout.lanes(case)).flatten().collect();
        if lanes.is_empty() {
            return layout;
        }
        let widest = |words: &dyn Fn(&DeviceUseView) -> f64| lanes.iter().map(|lane| words(lane)).fold(0.0, f64::max);
        let names = widest(&|lane| Style::NOTE.width(&lane.device) * SLACK).min(110.0) + 22.0;
        let words = widest(&|lane| Style::NOTE.width(&lane.words) * SLACK).min(GAUGE.1);
        let has_bars = lanes.iter().any(|lane| lane.has_bar());
        let gauges = match (words > 0.0, has_bars) {
            (false, _) => 0.0,
            (true, false) => 20.0 + words,
            (true, true) => 20.0 + GAUGE.0 + 8.0 + words.max(110.0),
        };
        layout.has_bars = has_bars;
        let width = frame.width - names - gauges;
        let (names, width) = (names.ceil(), width.floor());
        layout.modules = (frame.x + names, width);
        layout.gauges = (frame.x + names + width + 20.0, (gauges - 20.0).max(0.0));
        layout
    }

    /// The lanes of a case; `None` where it is drawn as a strip.
    fn lanes<'c>(&self, case: &'c CaseView) -> Option<&'c [DeviceUseView]> {
        let lanes = case.placed.devices.as_slice();
        let has_room = self.frame.width >= LANES_FROM && !self.is_compact && case.placed.hops.len() <= MOST_ARROWS;
        (has_room && !lanes.is_empty() && lanes.len() <= MOST_LANES && !case.placed.stages.is_empty()).then_some(lanes)
    }
}

impl Row<'_> {
    /// The name, and devices, hops and bytes beside or below it. Returns the bottom.
    fn head(&self, scene: &mut Scene, y: f64) -> f64 {
        head(scene, self.case, self.layout, y)
    }

    /// How a module is drawn where its weights are.
    fn look(&self, index: usize, module: &ModuleView) -> Look {
        let place = &self.case.placed;
        if !place.loaded {
            Look::Hollow
        } else if module.runs_on.is_some() {
            Look::Resting
        } else if is_unreached(place, index) {
            Look::Pale
        } else if module.is_shared() {
            Look::Shared
        } else {
            Look::Here
        }
    }

    fn add_looks(&self, looks: &mut Vec<Look>) {
        for (index, module) in self.case.placed.modules.iter().enumerate() {
            let look = self.look(index, module);
            looks.push(look);
            if look == Look::Resting {
                looks.push(Look::Visiting);
            }
        }
        looks.sort_unstable();
        looks.dedup();
    }

    /// The position of a device among those of the run; of several, that of the first.
    fn colour(&self, device: &str) -> Option<usize> {
        let mut used = self.case.placed.devices.iter();
        used.find(|used| names(device, &used.device)).map(|used| used.colour)
    }

    /// Consecutive modules that are alike in what `of` says of them.
    fn runs<T: PartialEq>(&self, of: impl Fn(usize, &ModuleView) -> Option<T>) -> Vec<(Run, T)> {
        let mut runs: Vec<(Run, T)> = Vec::new();
        for (index, module) in self.case.placed.modules.iter().enumerate() {
            let Some(what) = of(index, module) else { continue };
            match runs.last_mut().filter(|(run, known)| run.to == index && *known == what) {
                Some((run, _)) => run.to = index + 1,
                None => runs.push((
                    Run {
                        from: index,
                        to: index + 1,
                    },
                    what,
                )),
            }
        }
        runs
    }

    /// Sentences below the row. Returns the bottom.
    fn remarks(&self, scene: &mut Scene, y: f64) -> f64 {
        let place = &self.case.placed;
        let frame = self.layout.frame;
        let mut y = y;
        let most = if self.layout.is_compact { 2 } else { 4 };
        let difference = if place.difference.is_empty() {
            String::new()
        } else {
            format!("Differs: {}", place.difference)
        };
        for (words, style) in [(difference, Style::ALARM), (place.streamed.clone(), Style::NOTE)] {
            let room = frame.width * SLACK / BROWSER;
            for line in wrap(&words, size::NOTE, Weight::SemiBold, room, most) {
                scene.text((frame.x, y + 12.0), &line, style, frame.width * SLACK);
                y += 17.0;
            }
        }
        y
    }
}

/// True for modules behind the one at which a step ended.
fn is_unreached(place: &PlacementView, index: usize) -> bool {
    let broken = place.broken.as_ref().filter(|broken| broken.is_cut_short);
    broken.is_some_and(|broken| index > broken.at || (broken.is_hop && index == broken.at))
}

fn head(scene: &mut Scene, case: &CaseView, layout: &Layout<'_>, y: f64) -> f64 {
    let frame = layout.frame;
    let facts = match (case.placement == layout.reference, facts(case)) {
        (false, facts) => facts,
        (true, facts) if facts.is_empty() => "reference".into(),
        (true, facts) => format!("reference · {facts}"),
    };
    let needed = Style::NOTE.width(&facts) * BROWSER;
    let beside =
        needed + Style::LABEL.width(&case.placement) * BROWSER + 16.0 <= frame.width && needed <= frame.width * 0.66;
    if beside {
        label(scene, frame, y + 13.0, &case.placement, (&facts, Style::NOTE));
        return y + 22.0;
    }
    scene.text((frame.x, y + 13.0), &case.placement, Style::LABEL, frame.width);
    scene.text((frame.x, y + 29.0), &facts, Style::NOTE, frame.width);
    y + 38.0
}

/// Devices, hops and bytes of a placement, and what became of it.
fn facts(case: &CaseView) -> String {
    let place = &case.placed;
    let mut devices: Vec<&str> = place.modules.iter().filter_map(ModuleView::rests).collect();
    devices.sort_unstable();
    devices.dedup();
    let mut facts = Vec::new();
    if !devices.is_empty() {
        facts.push(count(devices.len(), "device", "devices"));
    }
    if !place.loaded && !devices.is_empty() {
        facts.push("planned, not loaded".to_owned());
    }
    if !case.traffic.is_empty() {
        facts.push(case.traffic.clone());
    }
    if case.outcome != "completed" {
        facts.push(case.status_words.clone());
    } else if matches!(case.timing, Timing::Invalid(_)) {
        facts.push(format!("text {}", case.text_words));
    }
    facts.join(" · ")
}

/// A row for a placement of which nothing is known but why.
fn nothing(scene: &mut Scene, case: &CaseView, layout: &Layout<'_>, y: f64) -> f64 {
    let frame = layout.frame;
    let y = head(scene, case, layout, y);
    scene.rect((frame.x, y), (frame.width, BLOCK + 6.0), Paint::Band);
    let why = format!("no placement on record: {}", case.placed.missing);
    scene.text((frame.x + 10.0, y + 16.0), &why, Style::NOTE, frame.width - 20.0);
    y + BLOCK + 6.0
}

/// The devices of rows that do not name them themselves. Returns the bottom.
fn legend_of_strips(scene: &mut Scene, view: &ReportView, cases: &[CaseView], layout: &Layout<'_>) -> f64 {
    let strips = || cases.iter().filter(|case| layout.lanes(case).is_none());
    let used: Vec<(Paint, String)> = view
        .devices
        .iter()
        .filter(|device| strips().any(|case| case.placed.devices.iter().any(|used| used.device == **device)))
        .map(|device| (Paint::Device(view.colour_of(device)), device.clone()))
        .collect();
    if used.is_empty() {
        layout.frame.y
    } else {
        legend(scene, layout.frame, &used)
    }
}

/// What the bars at the right show, above the first of them.
fn explain_gauges(scene: &mut Scene, layout: &Layout<'_>, y: f64) {
    let (mut x, width) = layout.gauges;
    let right = x + width;
    for (paint, words) in [(Paint::Weights, "weights"), (Paint::Cache, "KV cache")] {
        scene.rect((x, y + 3.0), (8.0, 8.0), paint);
        x += 12.0;
        let needed = Style::NOTE.width(words) * SLACK;
        scene.text((x, y + 11.0), words, Style::NOTE, (right - x).min(needed));
        x += needed + 6.0;
    }
}

/// What the unusual blocks mean. Returns the bottom.
fn key(scene: &mut Scene, frame: Frame, looks: &[Look], y: f64) -> f64 {
    let (mut x, mut y) = (frame.x, y);
    let mut bottom = y;
    for look in looks {
        let Some(words) = look.words() else { continue };
        let width = 26.0 + Style::NOTE.width(words) * SLACK + 18.0;
        if x + width - 18.0 > frame.right() && x > frame.x {
            x = frame.x;
            y += 18.0;
        }
        let sample = Columns::sample(x, 18.0);
        blocks(
            scene,
            &sample,
            Run { from: 0, to: 1 },
            (y, 12.0),
            (Paint::Muted, *look, Paint::Surface),
        );
        scene.text((x + 26.0, y + 10.0), words, Style::NOTE, frame.right() - x - 26.0);
        x += width;
        bottom = y + 18.0;
    }
    bottom
}

/// Words at a mark: right of it, left of it, or where there is room.
fn at_mark(scene: &mut Scene, frame: Frame, (x, y): (f64, f64), words: &str) {
    let needed = Style::ALARM.width(words) * BROWSER;
    if x + needed <= frame.right() {
        scene.text((x, y), words, Style::ALARM, needed);
    } else if x - needed >= frame.x {
        scene.text((x, y), words, Style::ALARM.end(), needed);
    } else {
        let left = (frame.right() - needed).max(frame.x);
        scene.text((left, y), words, Style::ALARM, frame.width);
    }
}
