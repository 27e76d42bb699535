//! The charts of comparisons and trends hold their words: none outside the picture, no two over each other.

mod fit;

use fit::assert_fits;
use placebench_report::plot::trend::Detail;
use placebench_report::plot::{forest, moved, sides, trend};
use placebench_report::view::comparison::TimingView;
use placebench_report::view::comparison::moved::{Maps, ModulePlace};
use placebench_report::view::comparison::timings::Ratio;
use placebench_report::view::trend::ChartData;

const WIDTHS: [f64; 4] = [320.0, 340.0, 800.0, 1080.0];
const LONG: &str = "a-scenario-of-sixty-characters/prompt-of-some-length/placement-that-ends-here";

fn timing(case: &str, log: Option<f64>) -> TimingView {
    TimingView {
        case: case.into(),
        metric: "output_tokens_per_s".into(),
        anchor: String::new(),
        sense: "worse",
        base: "12.0 ms".into(),
        new: "1 min 14 s".into(),
        change: log
            .map(|log| format!("{:+.0} %", log.exp_m1() * 100.0))
            .unwrap_or_default(),
        interval: "+1500 % to +1900 %".into(),
        verdict: "slower, 10 of 10 pairs".into(),
        floor: "6.2 %".into(),
        why: String::new(),
        pairs: 10,
        chart: Ratio {
            log_ratio: log,
            interval: log.map(|log| (log - 0.3, log + 0.4)),
            floor: 0.06,
            margin: 0.2,
            pairs: Vec::new(),
            unit: "s".into(),
        },
    }
}

#[test]
fn ratios_hold_their_words() {
    for width in WIDTHS {
        for logs in [
            vec![],
            vec![0.0],
            vec![0.001, -0.002],
            vec![0.2, -0.7, 3.0],
            vec![9.0, -9.0],
        ] {
            let rows: Vec<TimingView> = logs.iter().map(|log| timing(LONG, Some(*log))).collect();
            assert_fits(&forest::chart(&rows, "t", width), "ratios");
        }
        let rows: Vec<TimingView> = (0..30).map(|_| timing("s/p/x", None)).collect();
        assert_fits(&forest::chart(&rows, "t", width), "no ratios");
    }
}

#[test]
fn both_sides_hold_their_words() {
    for width in WIDTHS {
        for unit in ["s", "tokens/s", "bytes", "a unit of somebody else's with a long name"] {
            for pairs in [vec![], vec![(0.0, 0.0)], vec![(0.001, 0.9)], vec![(1e9, 2e9); 1000]] {
                let ratio = Ratio {
                    pairs,
                    unit: unit.into(),
                    ..Ratio::default()
                };
                assert_fits(&sides::chart(&ratio, ["reference", "placement"], "t", width), "sides");
            }
        }
    }
}

#[test]
fn moved_modules_hold_their_words() {
    for width in WIDTHS {
        for number in [1, 3, 30, 1000] {
            for names in [
                ["sim:0", "sim:1"],
                ["a-device-with-a-name-of-many-characters-that-no-bar-holds", "x"],
            ] {
                let places = |shift: usize| -> Vec<ModulePlace> {
                    let place = |index: usize| ModulePlace {
                        module: format!("model.a.module.with.a.long.path.layers.{index}"),
                        device: names[(index + shift) % 2].into(),
                        bytes: None,
                    };
                    (0..number).map(place).collect()
                };
                let maps = Maps {
                    case: "c",
                    base: places(0),
                    new: places(1),
                };
                let view = placebench_report::view::comparison::moved::moved(&maps).unwrap();
                assert_fits(&moved::chart(&view, ["reference", "placement"], "t", width), "moved");
            }
        }
    }
}

#[test]
fn trends_hold_their_words() {
    for width in WIDTHS {
        for number in [0, 1, 2, 30, 1000] {
            let values: Vec<f64> = (0..number)
                .map(|index| if index % 40 < 20 { 0.05 } else { 0.07 })
                .collect();
            let changes = (1..number).filter(|index| index % 20 == 0);
            let data = ChartData {
                unit: "a unit with a long name".into(),
                changes: changes.map(|at| (at, "+40.0 %".into(), at % 40 == 20)).collect(),
                dates: ("2026-01-01 10:00:00".into(), "2026-12-31 10:00:00".into()),
                values,
                ..ChartData::default()
            };
            assert_fits(&trend::chart(&data, "t", Detail::Full, width), "trend");
        }
    }
}
