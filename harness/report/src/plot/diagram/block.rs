//! Shapes of a placement diagram: blocks of modules, arrows of hops, and marks of what went wrong.

use crate::plot::palette::Paint;
use crate::plot::pattern;
use crate::plot::scene::Scene;

use super::columns::Columns;

/// Height of a block.
pub(super) const BLOCK: f64 = 18.0;
/// Columns from this width on are kept apart by a pixel.
const APART_FROM: f64 = 4.0;
/// Thickness of the outline of a hollow block.
const OUTLINE: f64 = 1.5;
/// How much a block is seen that was not reached.
const PALE: f64 = 0.3;
/// Half the width of an arrowhead, and its length.
const HEAD: (f64, f64) = (3.5, 6.0);

/// What a block says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    /// Its weights are here, and it runs here.
    Here,
    /// The same, but it was not reached in the step that broke.
    Pale,
    /// Planned here; nothing was loaded.
    Hollow,
    /// Here, but its tensors are another module's.
    Shared,
    /// Its weights rest here and are streamed elsewhere.
    Resting,
    /// It runs here, on weights that rest elsewhere.
    Visiting,
}

impl Look {
    /// What it means, for the key below a diagram; `None` where that goes without saying.
    pub(super) fn words(self) -> Option<&'static str> {
        match self {
            Self::Here => None,
            Self::Pale => Some("not reached in the step that broke"),
            Self::Hollow => Some("planned, not loaded"),
            Self::Shared => Some("tied: its tensors are another module's"),
            Self::Resting => Some("weights rest here"),
            Self::Visiting => Some("runs here, weights streamed"),
        }
    }
}

/// Modules from `from` to before `to`, side by side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) from: usize,
    pub(super) to: usize,
}

/// The blocks of consecutive modules on a device, on a ground of `ground`.
pub(super) fn blocks(
    scene: &mut Scene,
    columns: &Columns,
    run: Run,
    (y, height): (f64, f64),
    (paint, look, ground): (Paint, Look, Paint),
) {
    let cells = cells(columns, run);
    let (inset, height) = match look {
        Look::Here | Look::Pale | Look::Hollow | Look::Visiting => (0.0, height),
        Look::Shared => (height / 4.0, height / 2.0),
        Look::Resting => (height * 0.6, height * 0.4),
    };
    let y = y + inset;
    let level = |(x, w): &(f64, f64)| pattern::rect((*x, y), (*w, height));
    let opacity = if look == Look::Pale { PALE } else { 1.0 };
    scene.fill(cells.iter().map(level).collect(), paint, opacity);
    if matches!(look, Look::Hollow | Look::Visiting) {
        let hollow = |(x, w): &(f64, f64)| {
            let (w, h) = (w - 2.0 * OUTLINE, height - 2.0 * OUTLINE);
            (w > 0.5).then(|| pattern::rect((x + OUTLINE, y + OUTLINE), (w, h)))
        };
        scene.fill(cells.iter().filter_map(hollow).collect(), ground, 1.0);
    }
    let (x, width) = (columns.left(run.from), columns.left(run.to) - columns.left(run.from));
    if look == Look::Visiting {
        let line = |index: u32| {
            let at = y + height * (0.25 + 0.25 * f64::from(index)) - 1.0;
            pattern::rect((x + 1.0, at), (width - 2.0, 2.0))
        };
        scene.fill((0..3).map(line).collect(), paint, 1.0);
    } else if look != Look::Hollow
        && let Some((stripes, ink)) = pattern::of_device(paint, (x, y), (width - 1.0, height))
    {
        scene.fill(stripes, ink, opacity * pattern::STRENGTH);
    }
}

/// Left sides and widths of the columns of a run: one for each module where they can be told apart, else one for all.
fn cells(columns: &Columns, run: Run) -> Vec<(f64, f64)> {
    let width = columns.left(run.to) - columns.left(run.from);
    let is_fine = width / (run.to - run.from).max(1) as f64 >= APART_FROM;
    if is_fine {
        let cell = |index: usize| (columns.left(index), columns.right(index) - columns.left(index) - 1.0);
        (run.from..run.to).map(cell).collect()
    } else {
        vec![(columns.left(run.from), (width - 1.0).max(0.5))]
    }
}

/// An outline without anything in it.
pub(super) fn frame(scene: &mut Scene, (x, y): (f64, f64), (w, h): (f64, f64), paint: Paint, thick: f64) {
    let sides = [
        ((x, y), (w, thick)),
        ((x, y + h - thick), (w, thick)),
        ((x, y + thick), (thick, h - 2.0 * thick)),
        ((x + w - thick, y + thick), (thick, h - 2.0 * thick)),
    ];
    let sides = sides.into_iter().map(|(at, size)| pattern::rect(at, size));
    scene.fill(sides.collect(), paint, 1.0);
}

/// An upright arrow.
pub(super) fn arrow(scene: &mut Scene, x: f64, from: f64, to: f64, paint: Paint) {
    let back = if to > from { -HEAD.1 } else { HEAD.1 };
    scene.fill(
        vec![
            pattern::rect((x - 0.75, from.min(to + back)), (1.5, (to + back - from).abs())),
            vec![(x - HEAD.0, to + back), (x + HEAD.0, to + back), (x, to)],
        ],
        paint,
        1.0,
    );
}

/// A hop that nothing came through: a cross where it breaks.
pub(super) fn cross(scene: &mut Scene, (x, y): (f64, f64), paint: Paint) {
    let (arm, thick) = (5.0, 2.0);
    let stroke = |sign: f64| {
        vec![
            (x - arm, y - sign * arm - thick / 2.0),
            (x - arm + thick, y - sign * arm - thick / 2.0),
            (x + arm, y + sign * arm + thick / 2.0),
            (x + arm - thick, y + sign * arm + thick / 2.0),
        ]
    };
    scene.fill(vec![stroke(1.0), stroke(-1.0)], paint, 1.0);
}
