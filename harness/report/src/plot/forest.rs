//! Ratios with their intervals, a row each: right of the middle is worse, and what lies within the band counts as no change.

use super::font::{Weight, fit};
use super::palette::Paint;
use super::scene::{Scene, Style, size};
use crate::view::comparison::TimingView;
use crate::view::comparison::timings::Ratio;

/// Rows of one picture; the table has them all.
pub const MOST_ROWS: usize = 30;

/// From this width on a row's words stand beside its interval, and not above it.
const BESIDE_FROM: f64 = 640.0;

/// Ratios people know, from which ticks are chosen.
const TICKS: [f64; 29] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0, 1.02, 1.05, 1.1, 1.15, 1.2, 1.3,
    1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0,
];

/// Ratios further out are drawn at the edge, with an arrow.
const FURTHEST: f64 = 4.7;

/// The square of an estimate.
const MARK: f64 = 9.0;

/// Where things are.
struct Layout {
    /// Left and right of the scale.
    plot: (f64, f64),
    /// From one row to the next.
    step: f64,
    /// Above the interval of a row.
    head: f64,
    /// Words stand beside the interval.
    beside: bool,
    /// The largest change the scale shows, as a logarithm.
    reach: f64,
}

impl Layout {
    fn x(&self, log: f64) -> f64 {
        let (left, right) = self.plot;
        let middle = f64::midpoint(left, right);
        middle + (log / self.reach).clamp(-1.0, 1.0) * (right - left) / 2.0
    }
}

/// The picture of the first [`MOST_ROWS`] rows.
#[must_use]
pub fn chart(rows: &[TimingView], title: &str, width: f64) -> Scene {
    let mut scene = Scene::new(width, title);
    let rows = rows.get(..MOST_ROWS).unwrap_or(rows);
    let beside = width >= BESIDE_FROM;
    let layout = Layout {
        plot: match beside {
            true => (width * 0.36, width * 0.76),
            false => (10.0, width - 10.0),
        },
        step: if beside { 42.0 } else { 66.0 },
        head: if beside { 0.0 } else { 34.0 },
        beside,
        reach: reach(rows),
    };
    let top = 36.0;
    let bottom = top + layout.step * rows.len() as f64;
    let lines = scale(&mut scene, &layout, top);
    if layout.beside {
        grid(&mut scene, &lines, (top - 4.0, bottom));
    }
    for (index, row) in rows.iter().enumerate() {
        let y = top + layout.step * index as f64;
        words(&mut scene, &layout, row, y, width);
        if !layout.beside {
            // Lines through the words above would hide them.
            grid(&mut scene, &lines, (y + layout.head, y + layout.head + 22.0));
        }
        interval(&mut scene, &layout, row, y + layout.head);
        scene.hover((0.0, y), (width, layout.step), hover(row));
    }
    scene.height = bottom + 6.0;
    scene
}

/// As far as the furthest end of an interval and the widest band, and a little more.
fn reach(rows: &[TimingView]) -> f64 {
    let ends = |ratio: &Ratio| {
        let (low, high) = ratio.interval.unwrap_or((0.0, 0.0));
        let all = [
            low.abs(),
            high.abs(),
            ratio.log_ratio.unwrap_or(0.0).abs(),
            ratio.floor * 1.4,
        ];
        all.into_iter().filter(|end| end.is_finite()).fold(0.0, f64::max)
    };
    let furthest = rows.iter().map(|row| ends(&row.chart)).fold(0.03, f64::max);
    (furthest * 1.12).min(FURTHEST)
}

/// Lines of the scale, and the line of no change.
fn grid(scene: &mut Scene, lines: &[(f64, Paint)], (top, bottom): (f64, f64)) {
    for (x, paint) in lines {
        scene.line((*x, top), (*x, bottom), *paint, 1.0);
    }
}

/// The direction and the labels of the scale; where its lines go.
fn scale(scene: &mut Scene, layout: &Layout, top: f64) -> Vec<(f64, Paint)> {
    let mut lines = Vec::new();
    let (left, right) = layout.plot;
    let middle = layout.x(0.0);
    scene.text((left, 11.0), "← better", Style::NOTE, middle - left);
    scene.text((right, 11.0), "worse →", Style::NOTE.end(), right - middle);
    // From the middle outwards, so that what is near is labelled first.
    let mut taken: Vec<(f64, f64)> = Vec::new();
    let mut ticks = TICKS;
    ticks.sort_by(|a, b| a.ln().abs().total_cmp(&b.ln().abs()));
    for tick in ticks {
        if tick.ln().abs() > layout.reach {
            continue;
        }
        let x = layout.x(tick.ln());
        let label = tick_label(tick);
        let half = Style::NOTE.width(&label) * 0.55;
        let (from, to) = (x - half - 6.0, x + half + 6.0);
        let is_free = taken.iter().all(|(start, end)| to <= *start || from >= *end);
        if is_free && from >= left - 10.0 && to <= right + 10.0 {
            taken.push((from, to));
            scene.text((x, top - 9.0), &label, Style::NOTE.middle(), half * 2.4);
            let paint = if tick == 1.0 { Paint::Muted } else { Paint::Grid };
            lines.push((x, paint));
        }
    }
    lines
}

fn tick_label(ratio: f64) -> String {
    match ratio {
        1.0 => "0 %".to_owned(),
        ratio if ratio >= 2.0 => format!("× {ratio}"),
        ratio => format!("{:+.0} %", (ratio - 1.0) * 100.0),
    }
}

fn words(scene: &mut Scene, layout: &Layout, row: &TimingView, y: f64, width: f64) {
    let detail = match (row.base.as_str(), row.new.as_str()) {
        ("-", "-") => row.metric.clone(),
        (base, new) => format!("{} · {base} → {new}", row.metric),
    };
    let note = row.verdict.as_str();
    let style = if row.sense == "worse" {
        Style::ALARM
    } else {
        Style::NOTE
    };
    if layout.beside {
        let room = layout.plot.0 - 20.0;
        scene.text((0.0, y + 17.0), &row.case, Style::LABEL, room);
        scene.text((0.0, y + 33.0), &detail, Style::NOTE, room);
        let x = layout.plot.1 + 20.0;
        scene.text((x, y + 17.0), &answer(row), Style::VALUE, width - x);
        scene.text((x, y + 33.0), note, style, width - x);
        return;
    }
    // The interval is drawn below; words for it would leave none for the name.
    let change = if row.change.is_empty() {
        "–"
    } else {
        row.change.as_str()
    };
    let value = fit(change, size::LABEL, Weight::Regular, width * 0.45);
    let taken = Style::VALUE.width(&value) * 1.15 + 12.0;
    scene.text((width, y + 13.0), &value, Style::VALUE.end(), taken);
    // A browser's own font may be wider than the one that is measured with.
    scene.text((0.0, y + 13.0), &row.case, Style::LABEL, width - taken - 20.0);
    let taken = (style.width(note) * 1.2).min(width * 0.5);
    scene.text((width, y + 28.0), note, style.end(), taken);
    scene.text((0.0, y + 28.0), &detail, Style::NOTE, width - taken - 12.0);
}

/// The change, and between what it certainly is.
fn answer(row: &TimingView) -> String {
    match (row.change.is_empty(), row.interval.is_empty()) {
        (true, _) => "–".to_owned(),
        (false, true) => row.change.clone(),
        (false, false) => format!("{} ({})", row.change, row.interval),
    }
}

fn interval(scene: &mut Scene, layout: &Layout, row: &TimingView, y: f64) {
    let middle = y + if layout.beside { 21.0 } else { 11.0 };
    let ratio = &row.chart;
    let band = |scene: &mut Scene, half: f64, opacity: f64| {
        let (from, to) = (layout.x(-half), layout.x(half));
        scene.faded_rect((from, middle - 11.0), (to - from, 22.0), Paint::Rest, opacity);
    };
    if ratio.margin > ratio.floor {
        band(scene, ratio.margin, 0.22);
    }
    band(scene, ratio.floor, 0.45);
    let paint = match row.sense {
        "worse" => Paint::Alarm,
        "better" => Paint::Point,
        "none" => Paint::Muted,
        _ => Paint::Ink,
    };
    if let Some((low, high)) = ratio.interval {
        let (from, to) = (layout.x(low), layout.x(high));
        scene.line((from, middle), (to, middle), paint, 2.0);
        // An end that the scale does not show goes on: an arrow.
        for (end, x) in [(low, from), (high, to)] {
            if end.abs() > layout.reach {
                let back = 5.0 * end.signum();
                scene.line((x - back, middle - 4.0), (x, middle), paint, 2.0);
                scene.line((x - back, middle + 4.0), (x, middle), paint, 2.0);
            }
        }
    }
    match ratio.log_ratio {
        Some(log) => scene.rect((layout.x(log) - MARK / 2.0, middle - MARK / 2.0), (MARK, MARK), paint),
        None => {
            let x = layout.x(0.0);
            scene.text(
                (x, middle + 4.0),
                "no ratio",
                Style::NOTE.middle(),
                layout.plot.1 - layout.plot.0,
            );
        }
    }
}

fn hover(row: &TimingView) -> String {
    let floor = match row.floor.as_str() {
        "" => String::new(),
        floor => format!("; a change counts from {floor}"),
    };
    let why = match row.why.as_str() {
        "" => String::new(),
        why => format!(": {why}"),
    };
    format!(
        "{} {}: {}, {}{why}{floor}",
        row.case,
        row.metric,
        answer(row),
        row.verdict
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::scene::Mark;

    fn row(log: Option<f64>, sense: &'static str) -> TimingView {
        TimingView {
            case: "scenario/prompt/placement".repeat(3),
            metric: "tpot_s".into(),
            anchor: String::new(),
            sense,
            base: "12.0 ms".into(),
            new: "14.0 ms".into(),
            change: "+17 %".into(),
            interval: "+15 % to +19 %".into(),
            verdict: "slower, 10 of 10 pairs".into(),
            floor: "6.2 %".into(),
            why: String::new(),
            pairs: 10,
            chart: Ratio {
                log_ratio: log,
                interval: log.map(|log| (log - 0.02, log + 0.02)),
                floor: 0.06,
                margin: 0.09,
                ..Ratio::default()
            },
        }
    }

    /// Left ends of the estimates.
    fn squares(scene: &Scene) -> Vec<f64> {
        let of = |mark: &Mark| match mark {
            Mark::Rect { x, w, h, .. } if *w == MARK && *h == MARK => Some(*x),
            _ => None,
        };
        scene.marks.iter().filter_map(of).collect()
    }

    #[test]
    fn worse_is_right_of_the_band_and_odd_ratios_stay_inside() {
        for width in [340.0, 800.0, 1080.0] {
            let rows = [
                row(Some(0.15), "worse"),
                row(None, "open"),
                row(Some(1e6), "worse"),
                row(Some(-80.0), "better"),
            ];
            let scene = chart(&rows, "t", width);
            let dots = squares(&scene);
            assert_eq!(dots.len(), 3);
            assert!(dots.iter().all(|x| (0.0..=width).contains(x)), "{dots:?}");
            assert!(dots[0] > dots[2] && dots[1] > dots[0], "{dots:?}");
            assert!(scene.marks.iter().any(|mark| mark.says("no ratio")));
            assert!(scene.marks.iter().any(|mark| mark.says("worse →")));
        }
        let many: Vec<TimingView> = (0..100).map(|_| row(Some(0.1), "worse")).collect();
        let dots = |scene: Scene| squares(&scene).len();
        assert_eq!(dots(chart(&many, "t", 1080.0)), MOST_ROWS);
        assert_eq!(dots(chart(&[], "t", 1080.0)), 0);
    }
}
