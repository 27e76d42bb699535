//! A placement with a lane for each device: blocks where modules are, arrows where the hidden state goes.

use crate::plot::palette::Paint;
use crate::plot::scene::{Scene, Style};
use crate::view::broken::BrokenView;
use crate::view::device_use::DeviceUseView;
use crate::view::hops::HopView;
use crate::view::modules::{ModuleView, names, short};

use super::block::{self, BLOCK, Look, arrow, blocks, cross};
use super::{AMPLE, GAUGE, Row, SLACK, at_mark, hover, is_unreached};

/// From the top of a lane to that of the next.
const PITCH: f64 = 33.0;
/// Room between a text and what is beside it.
const ASIDE: f64 = 8.0;

/// The lanes of a row while they are drawn.
struct Lanes<'a> {
    row: &'a Row<'a>,
    devices: &'a [DeviceUseView],
    top: f64,
    /// What is taken of each lane, from left to right.
    taken: Vec<Vec<(f64, f64)>>,
}

pub(super) fn draw(scene: &mut Scene, row: &Row<'_>, devices: &[DeviceUseView], y: f64) -> f64 {
    let top = row.head(scene, y) + 2.0;
    let mut lanes = Lanes {
        row,
        devices,
        top,
        taken: vec![Vec::new(); devices.len()],
    };
    lanes.ground(scene);
    lanes.modules(scene);
    lanes.missed(scene);
    let said = lanes.hops(scene);
    lanes.gauges(scene);
    hover::lanes(scene, row, |device| lanes.y_of(device));
    let mut y = top + PITCH * (devices.len().max(1) - 1) as f64 + BLOCK + 6.0;
    if let Some(broken) = row.case.placed.broken.as_ref().filter(|_| !said) {
        y = lanes.broken(scene, broken, y);
    }
    row.remarks(scene, y)
}

impl Lanes<'_> {
    /// The position of a device's lane.
    fn lane(&self, device: &str) -> Option<usize> {
        self.devices.iter().position(|lane| names(device, &lane.device))
    }

    fn y(&self, lane: usize) -> f64 {
        self.top + PITCH * lane as f64
    }

    fn y_of(&self, device: &str) -> Option<f64> {
        self.lane(device).map(|lane| self.y(lane))
    }

    fn ground(&self, scene: &mut Scene) {
        let layout = self.row.layout;
        for (lane, device) in self.devices.iter().enumerate() {
            let y = self.y(lane);
            scene.rect((layout.modules.0, y), (layout.modules.1, BLOCK), Paint::Band);
            scene.rect((layout.frame.x, y + 5.0), (9.0, 9.0), Paint::Device(device.colour));
            let room = layout.modules.0 - layout.frame.x - 18.0;
            let style = Style::NOTE.paint(Paint::Ink);
            scene.text((layout.frame.x + 15.0, y + 13.0), &device.device, style, room);
        }
    }

    fn modules(&mut self, scene: &mut Scene) {
        let row = self.row;
        for lane in 0..self.devices.len() {
            let Some(device) = self.devices.get(lane) else { continue };
            let here = |known: Option<&str>| known.is_some_and(|known| names(known, &device.device));
            let rests = row.runs(|index, module| here(module.rests()).then(|| row.look(index, module)));
            let visits = row.runs(|_, module| here(module.runs_on.as_deref()).then_some(Look::Visiting));
            for (run, look) in rests.into_iter().chain(visits) {
                let what = (Paint::Device(device.colour), look, Paint::Band);
                blocks(scene, row.columns, run, (self.y(lane), BLOCK), what);
                self.take(lane, row.columns.left(run.from), row.columns.left(run.to));
            }
        }
    }

    fn take(&mut self, lane: usize, from: f64, to: f64) {
        if let Some(taken) = self.taken.get_mut(lane) {
            taken.push((from, to));
        }
    }

    fn is_free(&self, lane: usize, from: f64, to: f64) -> bool {
        let (x, width) = self.row.layout.modules;
        let taken = self.taken.get(lane).map(Vec::as_slice).unwrap_or_default();
        from >= x && to <= x + width && taken.iter().all(|other| to <= other.0 || from >= other.1)
    }

    /// Outlines where modules were asked for or planned and are not, and a line below those that are elsewhere.
    fn missed(&mut self, scene: &mut Scene) {
        let row = self.row;
        let elsewhere = |module: &ModuleView, wanted: Option<&str>| {
            wanted
                .filter(|wanted| module.rests() != Some(wanted))
                .map(str::to_owned)
        };
        let planned = row.runs(|_, module| elsewhere(module, module.missed()));
        let asked = row.runs(|_, module| {
            elsewhere(module, module.requested.as_deref()).filter(|asked| module.missed() != Some(asked))
        });
        let ghosts = planned.into_iter().map(|ghost| (ghost, "planned"));
        for ((run, device), words) in ghosts.chain(asked.into_iter().map(|ghost| (ghost, "asked for"))) {
            let Some(lane) = self.lane(&device) else { continue };
            let (left, right) = (row.columns.left(run.from), row.columns.left(run.to));
            let y = self.y(lane);
            block::frame(scene, (left, y), (right - left - 1.0, BLOCK), Paint::Alarm, 1.0);
            self.take(lane, left, right);
            let needed = Style::NOTE.width(words) * SLACK;
            if needed + ASIDE <= right - left {
                let middle = f64::midpoint(left, right);
                scene.text((middle, y + 13.0), words, Style::NOTE.middle(), needed);
            }
        }
        for (run, lane) in row.runs(|_, module| self.lane(module.rests()?).filter(|_| module.differs)) {
            let (left, right) = (row.columns.left(run.from), row.columns.left(run.to));
            let y = self.y(lane) + BLOCK + 2.0;
            scene.rect((left, y), (right - left - 1.0, 2.5), Paint::Alarm);
        }
    }

    /// Arrows with what they cost. True where the place at which the case broke was named beside one.
    fn hops(&mut self, scene: &mut Scene) -> bool {
        let place = &self.row.case.placed;
        let broken = place.broken.as_ref().filter(|broken| broken.is_hop);
        let mut said = false;
        let ways: Vec<(&HopView, usize, usize)> = place
            .hops
            .iter()
            .filter_map(|hop| Some((hop, self.lane(&hop.from)?, self.lane(&hop.to)?)))
            .filter(|(_, from, to)| from != to)
            .collect();
        // Arrows first: no text may stand where a later one passes.
        for (hop, from, to) in &ways {
            let x = self.x(hop);
            for lane in (*from.min(to) + 1)..*from.max(to) {
                self.take(lane, x - ASIDE, x + ASIDE);
            }
            let (start, end) = if to > from {
                (self.y(*from) + BLOCK, self.y(*to))
            } else {
                (self.y(*from), self.y(*to) + BLOCK)
            };
            match broken {
                Some(broken) if broken.at == hop.at => {
                    let to_middle = (PITCH - BLOCK) / 2.0 * if to > from { 1.0 } else { -1.0 };
                    let middle = start + to_middle;
                    scene.line((x, start), (x, start + to_middle * 0.4), Paint::Alarm, 2.0);
                    cross(scene, (x, middle), Paint::Alarm);
                }
                // A way that was not gone any more in the step that broke.
                _ if is_unreached(place, hop.at) => arrow(scene, x, start, end, Paint::Muted),
                _ => arrow(scene, x, start, end, Paint::Ink),
            }
        }
        for (hop, from, to) in ways {
            let here = broken.filter(|broken| broken.at == hop.at);
            let is_said = self.name(scene, hop, (from, to), here);
            said |= is_said && here.is_some();
        }
        said
    }

    /// Where a hop is: between its modules, inside the picture.
    fn x(&self, hop: &HopView) -> f64 {
        self.row.columns.left(hop.at) - 0.5
    }

    /// Names a hop in the lane it leaves or in the one it reaches, as fully as there is room.
    fn name(
        &mut self,
        scene: &mut Scene,
        hop: &HopView,
        (from, to): (usize, usize),
        broken: Option<&BrokenView>,
    ) -> bool {
        let cost = hop.cost();
        let full = format!("{} → {}", short(&hop.after), short(&hop.before));
        let candidates = match broken {
            Some(broken) => vec![broken.words.clone()],
            None if cost.is_empty() => vec![full],
            None => vec![format!("{full} · {cost}"), cost, hop.bytes.clone()],
        };
        let style = if broken.is_some() { Style::ALARM } else { Style::NOTE };
        let x = self.x(hop);
        for words in candidates.iter().filter(|words| !words.is_empty()) {
            let sides = |slack: f64| {
                let needed = style.width(words) * slack;
                [
                    (from, (x + ASIDE, x + ASIDE + needed), style),
                    (to, (x - ASIDE - needed, x - ASIDE), style.end()),
                ]
            };
            // With room for every browser's font where there is some: letters that are set closer are harder to read.
            for (lane, span, style) in sides(AMPLE).into_iter().chain(sides(SLACK)) {
                if self.is_free(lane, span.0 - 4.0, span.1 + 4.0) {
                    let at = if lane == from { span.0 } else { span.1 };
                    scene.text((at, self.y(lane) + 13.0), words, style, span.1 - span.0);
                    self.take(lane, span.0, span.1);
                    return true;
                }
            }
        }
        false
    }

    fn gauges(&self, scene: &mut Scene) {
        let (x, width) = self.row.layout.gauges;
        if width <= 0.0 {
            return;
        }
        for (lane, device) in self.devices.iter().enumerate() {
            let y = self.y(lane);
            gauge(scene, (x, y + 4.0), device);
            let style = if device.is_over { Style::ALARM } else { Style::NOTE };
            // Words without a bar stand where those beside one do.
            let beside = if self.row.layout.has_bars { GAUGE.0 + ASIDE } else { 0.0 };
            scene.text((x + beside, y + 13.0), &device.words, style, width - beside);
        }
    }

    /// The module at which the case broke, and what happened, below the lanes. Returns the bottom.
    fn broken(&self, scene: &mut Scene, broken: &BrokenView, y: f64) -> f64 {
        let columns = self.row.columns;
        let module = self.row.case.placed.modules.get(broken.at);
        let of_rank = broken.rank.and_then(|rank| {
            let suffix = format!("(rank {rank})");
            self.devices.iter().position(|lane| lane.device.ends_with(&suffix))
        });
        let of_module = || module.and_then(ModuleView::runs).and_then(|device| self.lane(device));
        let top = of_rank.or_else(of_module).map(|lane| self.y(lane));
        let (left, right) = (columns.left(broken.at), columns.right(broken.at));
        let middle = if broken.is_hop {
            left
        } else {
            f64::midpoint(left, right)
        };
        if let Some(top) = top {
            let mut from = top + BLOCK;
            if !broken.is_hop {
                let wide = (right - left + 3.0).max(9.0);
                let left = (middle - wide / 2.0 - 0.5).min(self.row.layout.frame.right() - wide);
                block::frame(scene, (left, top - 2.0), (wide, BLOCK + 4.0), Paint::Alarm, 2.5);
                from += 2.0;
            }
            scene.line((middle, from), (middle, y + 1.0), Paint::Alarm, 1.5);
        }
        at_mark(scene, self.row.layout.frame, (middle, y + 12.0), &broken.words);
        y + 18.0
    }
}

/// Weights and cache in a bar as long as the budget.
pub(super) fn gauge(scene: &mut Scene, (x, y): (f64, f64), device: &DeviceUseView) {
    if !device.has_bar() {
        return;
    }
    let (weights, cache) = device.shares().unwrap_or_default();
    let size = (GAUGE.0, 10.0);
    let paint = if device.is_over { Paint::Alarm } else { Paint::Weights };
    scene.rect((x, y), size, Paint::Grid);
    // What is there can be seen, however little it is.
    let wide = |share: f64| if share > 0.0 { (share * GAUGE.0).max(1.0) } else { 0.0 };
    let (weights, cache) = if device.is_over {
        (GAUGE.0, 0.0)
    } else {
        (wide(weights), wide(cache))
    };
    scene.rect((x, y), (weights, size.1), paint);
    let left = x + weights;
    scene.rect((left, y), (cache.min(x + GAUGE.0 - left), size.1), Paint::Cache);
}
