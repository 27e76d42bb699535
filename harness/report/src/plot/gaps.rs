//! Gaps between tokens in the order of the tokens, a band for each placement: single generations faint, the median of each
//! token strong, what stands apart named.

use placebench_core::units::human_seconds;

use crate::view::CaseView;
use crate::view::gaps::{Gaps, Halt, Series};
use crate::view::words::count;

use super::axis::Axis;
use super::palette::Paint;
use super::points::thin;
use super::scene::{Mark, Scene, Style};
use super::{Frame, label, row_name, scale_below};

/// Height of a band's scale.
const BAND: f64 = 56.0;
/// Above it, for the names of pauses, and below these for pauses that would squeeze the scale.
const BEYOND: f64 = 28.0;
/// Where in that room such pauses are.
const BEYOND_AT: f64 = 22.0;
/// Room left of a band for its scale.
const GUTTER: f64 = 52.0;
/// Room between the points and the sides of a band.
const PADDING: f64 = 6.0;
/// Pixels a token needs to be drawn by itself.
const TOKEN: f64 = 2.5;
/// Points of one band.
const MOST_POINTS: usize = 400;
/// Regions of a band, and of all bands, that tell their values on pointing.
const MOST_REGIONS: usize = 32;
const MOST_REGIONS_OF_ALL: usize = 300;
/// Placements whose medians are further apart than this each have their own scale: a small one would be a flat line.
const FARTHEST_ON_ONE_SCALE: f64 = 4.0;

/// What all bands share.
struct Bands {
    /// Positions of tokens.
    tokens: Axis,
    /// The scale of every band; absent where each has its own.
    shared: Option<Axis>,
    /// Room above the bands' scales.
    beyond: f64,
    /// Regions of one band.
    regions: usize,
}

pub(super) fn draw(scene: &mut Scene, cases: &[CaseView], reference: &str, frame: Frame) -> f64 {
    let all = || cases.iter().filter_map(|case| case.latency.gaps.series());
    let last = all().map(last_token).max().unwrap_or(2).max(2);
    let is_shared = have_one_scale(all());
    let bands = Bands {
        tokens: Axis::positions(2, last, if frame.width > 500.0 { 12 } else { 5 }),
        shared: is_shared.then(|| scale(all())).flatten(),
        beyond: if all().any(|series| !series.pauses.is_empty() || series.halt.is_some()) {
            BEYOND
        } else {
            0.0
        },
        regions: (MOST_REGIONS_OF_ALL / cases.len().max(1)).min(MOST_REGIONS),
    };
    let drawn = all().count();
    let heading = match (drawn, is_shared) {
        (0 | 1, _) => "Gap before each token",
        (_, true) => "Gap before each token, on the same scale in every band",
        (_, false) => "Gap before each token; medians are far apart, so each band has a scale of its own",
    };
    scene.text((frame.x, frame.y + 12.0), heading, Style::NOTE, frame.width);
    let mut y = frame.y + 26.0;
    for case in cases {
        y = row(scene, (case, &row_name(case, reference)), &bands, Frame { y, ..frame }) + 14.0;
    }
    let inner = Frame {
        x: frame.x + GUTTER,
        y: y - 6.0,
        width: frame.width - GUTTER,
    };
    if drawn == 0 {
        return y;
    }
    scene.text((inner.x - 8.0, inner.y + 8.0), "token", Style::NOTE.end(), GUTTER - 8.0);
    scale_below(scene, &bands.tokens, inner, PADDING)
}

fn last_token(series: &Series) -> usize {
    let halted = series.halt.iter().flat_map(|halt| &halt.gaps).map(|(token, _)| *token);
    series
        .tokens
        .iter()
        .map(|gap| gap.token)
        .chain(halted)
        .max()
        .unwrap_or(2)
}

fn middles<'a>(all: impl Iterator<Item = &'a Series> + Clone) -> impl Iterator<Item = f64> + Clone {
    all.filter_map(|series| series.median_s).filter(|middle| *middle > 0.0)
}

fn have_one_scale<'a>(all: impl Iterator<Item = &'a Series> + Clone) -> bool {
    let least = middles(all.clone()).reduce(f64::min);
    let most = middles(all).reduce(f64::max);
    least
        .zip(most)
        .is_none_or(|(least, most)| most / least <= FARTHEST_ON_ONE_SCALE)
}

/// From zero to the longest gap that is no pause.
fn scale<'a>(all: impl Iterator<Item = &'a Series> + Clone) -> Option<Axis> {
    let finished = all
        .clone()
        .flat_map(|series| series.tokens.iter().map(|gap| gap.usual_s));
    let halted = all.flat_map(|series| series.halt.iter().flat_map(|halt| &halt.gaps));
    let longest = finished.chain(halted.map(|(_, gap)| *gap)).reduce(f64::max)?;
    Axis::seconds_up_to(longest, 3)
}

fn row(scene: &mut Scene, (case, name): (&CaseView, &str), bands: &Bands, frame: Frame) -> f64 {
    let series = match &case.latency.gaps {
        Gaps::Measured(series) => series,
        Gaps::Invalid(why) => return without(scene, name, (why, Style::ALARM), frame),
        Gaps::Missing(why) => return without(scene, name, (why, Style::NOTE), frame),
    };
    label(
        scene,
        frame,
        frame.y + 13.0,
        name,
        (&words(series, frame.width), Style::NOTE),
    );
    let top = frame.y + 20.0;
    let height = BAND + bands.beyond;
    let band = Frame {
        x: frame.x + GUTTER,
        y: top,
        width: frame.width - GUTTER,
    };
    scene.rect((band.x, top), (band.width, height), Paint::Band);
    let own;
    let axis = match &bands.shared {
        Some(shared) => Some(shared),
        None => {
            own = scale(std::iter::once(series.as_ref()));
            own.as_ref()
        }
    };
    let Some(axis) = axis else {
        scene.text(
            (band.x + 10.0, top + height / 2.0),
            "all zero",
            Style::NOTE,
            band.width - 20.0,
        );
        return top + height;
    };
    let plot = Plot { axis, bands, band };
    plot.ticks(scene);
    plot.generations(scene, series);
    let taken = series.halt.as_ref().map(|halt| plot.halt(scene, halt));
    plot.pauses(scene, series, taken);
    plot.regions(scene, series);
    top + height
}

fn without(scene: &mut Scene, name: &str, (why, style): (&str, Style), frame: Frame) -> f64 {
    label(scene, frame, frame.y + 13.0, name, ("", Style::NOTE));
    let (x, top) = (frame.x + GUTTER, frame.y + 20.0);
    scene.rect((x, top), (frame.width - GUTTER, 24.0), Paint::Band);
    scene.text((x + 10.0, top + 16.0), why, style, frame.width - GUTTER - 20.0);
    top + 24.0
}

/// `median 1.02 ms · 6 generations · 4 pauses · ended by length`, without the end where there is little room.
fn words(series: &Series, width: f64) -> String {
    let middle = series
        .median_s
        .map(|middle| format!("median {}", human_seconds(middle)));
    let finished = match series.generations.len() {
        0 => "no generation was finished".to_owned(),
        many => count(many, "generation", "generations"),
    };
    let pauses = Some(series.pauses.len()).filter(|many| *many > 2);
    let pauses = pauses.map(|many| format!("{many} pauses"));
    let ended = Some(series.ended.clone()).filter(|ended| !ended.is_empty() && width > 500.0);
    let parts: Vec<String> = middle
        .into_iter()
        .chain([finished])
        .chain(pauses)
        .chain(ended)
        .collect();
    parts.join(" · ")
}

/// One band with its scales.
struct Plot<'a> {
    axis: &'a Axis,
    bands: &'a Bands,
    band: Frame,
}

impl Plot<'_> {
    fn x_of(&self, token: f64) -> f64 {
        self.band.x + PADDING + self.bands.tokens.position(token) * (self.band.width - 2.0 * PADDING)
    }

    fn y_of(&self, seconds: f64) -> f64 {
        let bottom = self.band.y + self.bands.beyond + BAND - 2.0;
        bottom - self.axis.position(seconds) * (BAND - 6.0)
    }

    fn is_beyond(&self, seconds: f64) -> bool {
        seconds > self.axis.high()
    }

    fn ticks(&self, scene: &mut Scene) {
        for (value, words) in &self.axis.ticks {
            let y = self.y_of(*value).round();
            scene.line((self.band.x, y), (self.band.right(), y), Paint::Grid, 1.0);
            scene.text((self.band.x - 6.0, y + 4.0), words, Style::NOTE.end(), GUTTER - 8.0);
        }
    }

    fn generations(&self, scene: &mut Scene, series: &Series) {
        let Some(last) = series.tokens.last() else { return };
        let room = self.x_of(last.token as f64) - self.x_of(2.0);
        let columns = (room / TOKEN).max(1.0);
        let step = (series.tokens.len() as f64 / columns).ceil().max(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at least one, at most all tokens"
        )]
        let step = step as usize;
        let to_scale = |seconds: f64| seconds.min(self.axis.high());
        if step > 1 {
            let bins = || series.tokens.chunks(step).filter_map(|bin| Some((bin.first()?, bin)));
            let side = |choose: fn(&crate::view::gaps::TokenGap) -> f64, keep: fn(f64, f64) -> f64| {
                bins().filter_map(move |(first, bin)| Some((first.token as f64, bin.iter().map(choose).reduce(keep)?)))
            };
            let at = |(token, seconds): (f64, f64)| (self.x_of(token).round(), self.y_of(to_scale(seconds)).round());
            let mut area: Vec<(f64, f64)> = side(|gap| gap.least_s, f64::min).map(at).collect();
            let mut above: Vec<(f64, f64)> = side(|gap| gap.usual_s, f64::max).map(at).collect();
            above.reverse();
            area.extend(above);
            push_path(scene, area, Paint::Point, None, 0.4);
        } else if series.generations.len() > 1 {
            let gaps = series
                .generations
                .iter()
                .flatten()
                .filter(|(_, seconds)| !self.is_beyond(*seconds));
            let points = gaps.map(|(token, seconds)| (self.x_of(*token as f64), self.y_of(*seconds)));
            let at = thin(points, MOST_POINTS);
            scene.marks.push(Mark::Dots {
                at,
                radius: 1.5,
                paint: Paint::Point,
            });
        }
        let bins = series.tokens.chunks(step).filter_map(|bin| {
            let medians: Vec<f64> = bin.iter().map(|gap| gap.median_s).collect();
            Some((bin.first()?.token, placebench_core::statistics::median(&medians)?))
        });
        let line: Vec<(f64, f64)> = bins
            .map(|(token, seconds)| (self.x_of(token as f64).round(), self.y_of(to_scale(seconds)).round()))
            .collect();
        match line.as_slice() {
            [(x, y)] => scene.rect((x - 3.0, y - 1.0), (6.0, 2.0), Paint::Ink),
            _ => push_path(scene, line, Paint::Ink, Some(1.5), 1.0),
        }
    }

    /// Dots for all, names for the longest and for one about as long where there is room.
    fn pauses(&self, scene: &mut Scene, series: &Series, taken: Option<(f64, f64)>) {
        let beyond = self.band.y + BEYOND_AT;
        let y_of = |seconds: f64| {
            if self.is_beyond(seconds) {
                beyond
            } else {
                self.y_of(seconds)
            }
        };
        let points = series
            .pauses
            .iter()
            .map(|pause| (self.x_of(pause.token as f64), y_of(pause.seconds)));
        let at = thin(points, MOST_POINTS);
        if at.is_empty() {
            return;
        }
        scene.marks.push(Mark::Dots {
            at,
            radius: 2.5,
            paint: Paint::Ink,
        });
        if series.pauses.iter().any(|pause| self.is_beyond(pause.seconds)) {
            // The scale ends here: what is above this line is not to scale.
            let y = self.band.y + self.bands.beyond;
            scene.line((self.band.x, y), (self.band.right(), y), Paint::Surface, 2.0);
        }
        let mut taken: Vec<(f64, f64)> = taken.into_iter().collect();
        let mut named: Vec<usize> = Vec::new();
        for pause in &series.pauses {
            let is_far_shorter = series
                .pauses
                .first()
                .is_some_and(|longest| pause.seconds < longest.seconds / 2.0);
            if named.len() == 2 || is_far_shorter {
                break;
            }
            if named.contains(&pause.token) {
                continue;
            }
            let words = pause.words();
            let room = Style::NOTE.width(&words) * 1.15;
            let (left, right) = (self.band.x + 4.0 + room / 2.0, self.band.right() - 4.0 - room / 2.0);
            let x = self.x_of(pause.token as f64).min(right).max(left);
            let (from, to) = (x - room / 2.0 - 6.0, x + room / 2.0 + 6.0);
            if taken.iter().any(|(left, right)| to > *left && from < *right) {
                continue;
            }
            let style = Style::NOTE.paint(Paint::Ink).middle();
            scene.text((x, self.band.y + 12.0), &words, style, room.min(self.band.width - 8.0));
            taken.push((from, to));
            named.push(pause.token);
        }
    }

    /// The tokens that came, and what came then. Returns the room its words take, from left to right.
    fn halt(&self, scene: &mut Scene, halt: &Halt) -> (f64, f64) {
        let points = halt
            .gaps
            .iter()
            .map(|(token, seconds)| (self.x_of(*token as f64), self.y_of(*seconds)));
        let at = thin(points, MOST_POINTS);
        if !at.is_empty() {
            scene.marks.push(Mark::Dots {
                at,
                radius: 2.5,
                paint: Paint::Alarm,
            });
        }
        let x = (self.x_of(halt.tokens.max(2) as f64).round() + 5.0).min(self.band.right() - 1.0);
        let bottom = self.band.y + self.bands.beyond + BAND;
        scene.line((x, self.band.y), (x, bottom), Paint::Alarm, 2.0);
        let in_warm_up = if halt.in_warm_up { " of a warm-up" } else { "" };
        let words = format!("{} after token {}{in_warm_up}", halt.words, halt.tokens);
        let (left, right) = (x - self.band.x - 12.0, self.band.right() - x - 12.0);
        let needed = Style::ALARM.width(&words) * 1.15;
        let y = self.band.y + 12.0;
        if right >= left {
            scene.text((x + 8.0, y), &words, Style::ALARM, right);
            (x, x + 8.0 + needed)
        } else {
            scene.text((x - 8.0, y), &words, Style::ALARM.end(), left);
            (x - 8.0 - needed, x)
        }
    }

    /// What each token, or some in a row, took.
    fn regions(&self, scene: &mut Scene, series: &Series) {
        let step = series.tokens.len().div_ceil(self.bands.regions.max(1)).max(1);
        for bin in series.tokens.chunks(step) {
            let (Some(first), Some(last)) = (bin.first(), bin.last()) else {
                continue;
            };
            let half = (self.x_of(3.0) - self.x_of(2.0)) / 2.0;
            let from = (self.x_of(first.token as f64) - half).max(self.band.x);
            let to = (self.x_of(last.token as f64) + half).min(self.band.right());
            let least = bin.iter().map(|gap| gap.least_s).fold(f64::INFINITY, f64::min);
            let most = bin.iter().map(|gap| gap.most_s).fold(0.0, f64::max);
            let tokens = match first.token.checked_sub(1).and_then(|index| series.texts.get(index)) {
                Some(text) if bin.len() == 1 => format!("token {} {text}", first.token),
                _ if bin.len() == 1 => format!("token {}", first.token),
                _ => format!("tokens {}–{}", first.token, last.token),
            };
            let middle = match bin {
                [only] => only.median_s,
                several => {
                    let medians: Vec<f64> = several.iter().map(|gap| gap.median_s).collect();
                    placebench_core::statistics::median(&medians).unwrap_or_default()
                }
            };
            let spread = match first.n {
                1 if bin.len() == 1 => String::new(),
                _ => format!(", {}–{}", human_seconds(least), human_seconds(most)),
            };
            let words = format!("{tokens}: {}{spread}", human_seconds(middle));
            let height = BAND + self.bands.beyond;
            scene.hover(
                (from.round(), self.band.y),
                ((to - from).round().max(1.0), height),
                words,
            );
        }
    }
}

fn push_path(scene: &mut Scene, at: Vec<(f64, f64)>, paint: Paint, stroke: Option<f64>, opacity: f64) {
    if at.len() > 1 {
        scene.marks.push(Mark::Path {
            at,
            paint,
            stroke,
            opacity,
        });
    }
}
