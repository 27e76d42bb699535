//! Pictures: the charts of a prompt, its placements side by side.
//!
//! A chart is laid out once as a [`scene::Scene`]; [`raster`] paints it as PNG and [`svg`] writes it into a page.

mod audit;
pub mod axis;
pub mod bounds;
mod compared;
mod diagram;
mod extent;
mod first_token;
pub mod font;
pub mod forest;
mod gaps;
mod indexed;
mod lanes;
mod latency;
mod layers;
mod memory;
mod memory_words;
pub mod moved;
pub mod palette;
mod pattern;
mod points;
pub mod raster;
pub mod scene;
pub mod sides;
pub mod svg;
mod timeline;
pub mod trend;

use crate::RenderError;
use crate::view::audit::AuditView;
use crate::view::steps::StepView;
use crate::view::timing::Timing;
use crate::view::words::count;
use crate::view::{PromptView, ReportView};
use font::{Weight, wrap};
use palette::Paint;
use scene::{Mark, Scene, Style, size};

/// Width of a picture in CSS pixels; the PNG has two pixels for each.
pub const PNG_WIDTH: f64 = 800.0;

/// Room around a picture with a title.
const MARGIN: f64 = 24.0;

/// Placements in one chart; the table below it has them all.
const MOST_ROWS: usize = 40;

/// The charts there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chart {
    /// Latency, throughput and memory against the reference.
    Compared,
    /// Modules in order, by device.
    Placement,
    /// Time to first token and between tokens.
    Latency,
    /// Memory of each device against its budget.
    Memory,
    /// Gaps between tokens in the order of the tokens.
    Tokens,
    /// Time until the first token by phases, stages and hops.
    FirstToken,
    /// Time of stages and hops against their prediction.
    Steps,
    /// Modules against those of the reference, token by token.
    Audit,
}

impl Chart {
    /// All charts, in reading order.
    pub const ALL: [Self; 8] = [
        Self::Compared,
        Self::Placement,
        Self::Memory,
        Self::Latency,
        Self::Tokens,
        Self::FirstToken,
        Self::Steps,
        Self::Audit,
    ];

    /// The last part of the file's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Compared => "compared",
            Self::Placement => "placement",
            Self::Latency => "latency",
            Self::Memory => "memory",
            Self::Tokens => "tokens",
            Self::FirstToken => "first-token",
            Self::Steps => "steps",
            Self::Audit => "audit",
        }
    }

    /// What the chart states about a prompt.
    #[must_use]
    pub fn title(self, prompt: &PromptView) -> &str {
        match self {
            Self::Compared => &prompt.compared.title,
            Self::Placement => &prompt.placement_title,
            Self::Latency => &prompt.latency_title,
            Self::Memory => &prompt.memory_title,
            Self::Tokens => &prompt.tokens_title,
            Self::FirstToken => &prompt.first_token_title,
            Self::Steps => &prompt.steps_title,
            Self::Audit => &prompt.audit_title,
        }
    }

    /// True where there is anything to draw of a prompt besides reasons why there is nothing.
    #[must_use]
    pub fn has_data(self, prompt: &PromptView) -> bool {
        if self == Self::Compared {
            return prompt.compared.has_data();
        }
        prompt.cases.iter().any(|case| match self {
            Self::Compared => true,
            Self::Placement => !case.placed.stages.is_empty(),
            Self::Latency => !matches!(case.timing, Timing::Missing(_)),
            Self::Memory => !case.memory.is_empty(),
            Self::Tokens => case.latency.gaps.series().is_some(),
            Self::FirstToken => !case.latency.first_token.before.is_empty() || case.steps[0].has_stages(),
            Self::Steps => case.steps.iter().any(StepView::has_parts),
            Self::Audit => case.audit.as_ref().is_some_and(AuditView::has_picture),
        })
    }

    /// How to read it.
    #[must_use]
    pub fn caption(self) -> &'static str {
        match self {
            Self::Compared => {
                "Ratios to the reference, whose line is 1, on logarithmic scales: the median over pairs of attempts, as a bar its \
                 95 % interval, as a dot where pairs are too few for one. What lies within the grey floor counts as no change."
            }
            Self::Placement => {
                "Modules in order, widths to scale of bytes, the smallest widened. Each change of device is a hop: bytes and time per token."
            }
            Self::Latency => {
                "Every dot is a measurement, the first at the top of its band. The line is the median; shorter ones are p90 \
                 (from 10 measurements on) and p99 (from 100 on)."
            }
            Self::Tokens => {
                "Dots are the gaps of single generations, or an area from shortest to longest where tokens are many; the line is \
                 the median of each token. Pauses are marked above. Finished warm-ups are left out."
            }
            Self::FirstToken => {
                "Phases before the first generation, then the first step by stages and hops, to scale; medians. Warm-ups are \
                 left out. The prompt is tokenised before the time to first token begins."
            }
            Self::Memory => {
                "Each device: the thin bar as planned, the thick one as the engine measured it; the upright mark is its budget."
            }
            Self::Steps => {
                "A lane a device: filled while it works, empty while it waits; slanted lines are hops, outlined bars predictions."
            }
            Self::Audit => {
                "A column for each module in order of execution, a row for each token; the strip above shows their devices, \
                 the upright mark where they part."
            }
        }
    }

    /// The chart without title, for a page that has its own.
    #[must_use]
    pub fn bare(self, view: &ReportView, prompt: &PromptView, width: f64) -> Scene {
        let mut scene = Scene::new(width, self.title(prompt));
        let bottom = self.draw(&mut scene, view, prompt, Frame { x: 0.0, y: 0.0, width });
        scene.height = bottom.ceil().max(1.0);
        scene
    }

    /// The chart with title, caption and margins, to stand alone.
    ///
    /// # Errors
    /// When the embedded font is damaged.
    pub fn titled(self, view: &ReportView, prompt: &PromptView, width: f64) -> Result<Scene, RenderError> {
        font::font(Weight::Regular)?;
        let mut scene = Scene::new(width, self.title(prompt));
        let room = width - 2.0 * MARGIN;
        let mut y = MARGIN;
        for line in wrap(self.title(prompt), size::TITLE, Weight::SemiBold, room, 3) {
            y += 22.0;
            scene.text((MARGIN, y), &line, Style::TITLE, room * 1.2);
        }
        let debug = if view.notes.iter().any(|note| note.contains("debug build")) {
            " · debug build"
        } else {
            ""
        };
        let context = format!("{} · {} · run {}{debug}", prompt.scenario, prompt.name, view.run_id);
        let caption = wrap(self.caption(), size::NOTE, Weight::Regular, room, 3);
        for line in std::iter::once(&context).chain(&caption) {
            y += 18.0;
            scene.text((MARGIN, y), line, Style::NOTE, room * 1.1);
        }
        y += 16.0;
        let bottom = self.draw(
            &mut scene,
            view,
            prompt,
            Frame {
                x: MARGIN,
                y,
                width: room,
            },
        );
        scene.height = (bottom + MARGIN).ceil();
        Ok(scene)
    }

    fn draw(self, scene: &mut Scene, view: &ReportView, prompt: &PromptView, frame: Frame) -> f64 {
        let shown = &prompt.cases[..prompt.cases.len().min(MOST_ROWS)];
        let reference = match prompt.cases.as_slice() {
            [_] => "",
            _ => prompt.reference.as_str(),
        };
        let bottom = match self {
            Self::Compared => compared::draw(scene, &prompt.compared, shown.len(), frame),
            Self::Placement => diagram::draw(scene, view, (shown, &prompt.reference), frame),
            Self::Latency => latency::draw(scene, shown, reference, frame),
            Self::Memory => memory::draw(scene, shown, frame),
            Self::Tokens => gaps::draw(scene, shown, reference, frame),
            Self::FirstToken => first_token::draw(scene, view, (shown, reference), frame),
            Self::Steps => timeline::draw(scene, view, shown, frame),
            Self::Audit => audit::draw(scene, view, shown, frame),
        };
        let rest = prompt.cases.len() - shown.len();
        if rest == 0 {
            return bottom;
        }
        let words = format!(
            "… and {}: see the table",
            count(rest, "more placement", "more placements")
        );
        scene.text((frame.x, bottom + 16.0), &words, Style::NOTE, frame.width);
        bottom + 24.0
    }
}

/// The part of a picture a chart may use; it grows downwards.
#[derive(Debug, Clone, Copy)]
struct Frame {
    x: f64,
    y: f64,
    width: f64,
}

impl Frame {
    fn right(self) -> f64 {
        self.x + self.width
    }
}

/// The name of a row, which says so where others are compared with it.
fn row_name(case: &crate::view::CaseView, reference: &str) -> String {
    if case.placement == reference {
        format!("{reference} (reference)")
    } else {
        case.placement.clone()
    }
}

/// A name at the left and words at the right of a line; returns nothing, takes one line.
fn label(scene: &mut Scene, frame: Frame, baseline: f64, name: &str, words: (&str, Style)) {
    let value = scene_text_room(frame.width, words.1.width(words.0));
    // A browser's own font may be wider than the one that is measured with.
    let written = scene.text((frame.right(), baseline), words.0, words.1.end(), value) * 1.1;
    scene.text((frame.x, baseline), name, Style::LABEL, frame.width - written - 16.0);
}

/// Words beside a name get what they need, but never more than two thirds of the line.
fn scene_text_room(line: f64, wanted: f64) -> f64 {
    (wanted * 1.2).min(line * 0.66)
}

/// Colour samples with their names, on as many lines as they need. Returns the bottom.
fn legend(scene: &mut Scene, frame: Frame, entries: &[(Paint, String)]) -> f64 {
    let (mut x, mut y) = (frame.x, frame.y);
    for (paint, name) in entries {
        let width = 18.0 + Style::NOTE.width(name) * 1.1 + 16.0;
        if x + width > frame.right() && x > frame.x {
            x = frame.x;
            y += 20.0;
        }
        // Ink is a mark in a chart, everything else a surface.
        let (left, wide) = if *paint == Paint::Ink {
            (x + 5.0, 3.0)
        } else {
            (x, 12.0)
        };
        scene.rect((left, y + 2.0), (wide, 12.0), *paint);
        scene.text((x + 18.0, y + 12.0), name, Style::NOTE, frame.right() - x - 18.0);
        x += width;
    }
    y + 26.0
}

/// Tick labels below a chart whose marks keep `padding` from both sides; a label that would touch its neighbour is left
/// out. Returns the bottom.
fn scale_below(scene: &mut Scene, axis: &axis::Axis, frame: Frame, padding: f64) -> f64 {
    let mut free_from = f64::MIN;
    for (value, words) in &axis.ticks {
        let width = Style::NOTE.width(words) * 1.1;
        let x = frame.x + padding + axis.position(*value) * (frame.width - 2.0 * padding);
        let centre = x.max(frame.x + width / 2.0).min(frame.right() - width / 2.0);
        if centre - width / 2.0 >= free_from {
            scene.text((centre, frame.y + 8.0), words, Style::NOTE.middle(), width * 1.2);
            free_from = centre + width / 2.0 + 8.0;
        }
    }
    frame.y + 16.0
}

impl Mark {
    /// True for text that contains `words`; lets tests look at what a chart says.
    #[must_use]
    pub fn says(&self, words: &str) -> bool {
        matches!(self, Self::Text { text, .. } if text.contains(words))
    }

    /// True for a region that answers a pointer.
    #[must_use]
    pub fn is_hover(&self) -> bool {
        matches!(self, Self::Hover { .. })
    }
}
