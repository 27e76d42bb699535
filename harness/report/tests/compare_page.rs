//! The page of a comparison: the verdict first, nothing said twice, small, and nobody else speaks.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use placebench_core::compare::{
    CaseComparison, Change, Comparison, Counter, CounterChange, CounterRow, Direction, GateSpec, NoVerdictReason, Pair,
    Relation, SideName, Threshold, ThresholdSource, TimingMetric, TimingRow,
};
use placebench_core::exit_code::ExitCode;
use placebench_core::record::Tool;
use placebench_core::statistics::Interval;
use placebench_core::units::Bytes;
use placebench_report::format::html::compare::render;
use placebench_report::view::changes::Standing;
use placebench_report::view::comparison::{
    ComparisonView, Difference, Input, Maps, ModulePlace, SideInput, StatusInput,
};

fn timing(metric: TimingMetric, ratio: f64, change: Change, pairs: u32) -> TimingRow {
    let floor = Threshold {
        log_ratio: 0.06,
        source: ThresholdSource::SeparateSessions,
    };
    let is_judged = change != Change::NoVerdict;
    TimingRow {
        metric,
        unit: metric.unit().into(),
        direction: Direction::Lower,
        pairs: (0..pairs)
            .map(|attempt| {
                let base = 0.02 * (1.0 + 0.001 * f64::from(attempt));
                Pair {
                    attempt,
                    base,
                    new: base * ratio,
                }
            })
            .collect(),
        base: is_judged.then_some(0.02),
        new: is_judged.then_some(0.02 * ratio),
        ratio: is_judged.then_some(ratio),
        ratio_interval: is_judged.then_some(Interval {
            low: ratio * 0.99,
            high: ratio * 1.01,
        }),
        floor,
        margin: floor,
        pairs_slower: if change == Change::Slower { pairs } else { 0 },
        pairs_faster: 0,
        p_slower: None,
        p_faster: None,
        change,
        reason: (!is_judged).then_some(NoVerdictReason::Missing { side: SideName::Base }),
        warnings: Vec::new(),
    }
}

fn counter(counter: Counter, of: &str, base: u64, new: u64, change: CounterChange) -> CounterRow {
    CounterRow {
        counter,
        of: of.into(),
        unit: counter.unit().into(),
        direction: counter.direction(),
        base: Some(base),
        new: Some(new),
        tolerance: 0.0,
        change,
        detail: None,
        reason: None,
    }
}

fn case(name: &str, ratio: f64, change: Change) -> CaseComparison {
    CaseComparison {
        case: name.into(),
        base_case: name.into(),
        counters: vec![counter(Counter::Hops, "decode", 4, 4, CounterChange::Same)],
        timings: vec![timing(TimingMetric::TpotS, ratio, change, 10)],
        change: Some(change),
        pairs_wanted: None,
    }
}

fn comparison(cases: Vec<CaseComparison>, relation: Relation) -> Comparison {
    Comparison {
        spec: GateSpec {
            relation,
            ..GateSpec::versions()
        },
        alpha: 0.05,
        family: 3,
        cases,
        change: None,
        exit: ExitCode::Passed,
    }
}

fn side(name: &'static str, run: &str) -> SideInput {
    let tool = Tool {
        name: "placebench".into(),
        version: "1".into(),
        profile: "release".into(),
    };
    SideInput::new(name, run, "2026-01-01T00:00:00Z", &tool)
}

fn input<'a>(comparison: &'a Comparison, standings: &'a [Standing]) -> Input<'a> {
    Input {
        comparison,
        standings,
        exit: Some(ExitCode::Passed),
        closing: "what became of it",
        sides: vec![side("base", "run-1"), side("new", "run-2")],
        differences: Vec::new(),
        statuses: Vec::new(),
        not_compared: Vec::new(),
        missing: 0,
        remarks: Vec::new(),
        sentences: Vec::new(),
        maps: Vec::new(),
    }
}

fn page_of(cases: Vec<CaseComparison>) -> (ComparisonView, String) {
    let comparison = comparison(cases, Relation::Versions);
    let standings: Vec<Standing> = comparison.cases.iter().map(Standing::of).collect();
    let view = ComparisonView::new(&input(&comparison, &standings));
    let page = render(&view).unwrap();
    (view, page)
}

fn layers(on: &[&str]) -> Vec<ModulePlace> {
    let place = |(index, device): (usize, &&str)| ModulePlace {
        module: format!("model.layers.{index}"),
        device: (*device).into(),
        bytes: Some(Bytes(1 << 20)),
    };
    on.iter().enumerate().map(place).collect()
}

#[test]
fn the_verdict_comes_first_and_the_worst_before_the_rest() {
    let (view, page) = page_of(vec![
        case("s/p/same", 1.0, Change::Same),
        case("s/p/slow", 1.1, Change::Slower),
        case("s/p/slowest", 1.3, Change::Slower),
        case("s/p/unclear", 1.05, Change::Unclear),
        case("s/p/faster", 0.8, Change::Faster),
        case("s/p/missing", 1.0, Change::NoVerdict),
    ]);
    assert_eq!((view.headline.as_str(), view.tone), ("2 cases slower", "bad"));
    let order: Vec<&str> = view.loud.iter().map(|row| row.case.as_str()).collect();
    assert_eq!(
        order,
        ["s/p/slowest", "s/p/slow", "s/p/unclear", "s/p/faster", "s/p/missing"]
    );
    assert_eq!(view.quiet.len(), 1);
    let sections: Vec<&str> = view.cases.iter().map(|section| section.case.as_str()).collect();
    assert_eq!(sections, ["s/p/slowest", "s/p/slow", "s/p/unclear", "s/p/faster"]);
    assert!(page.find("2 cases slower").unwrap() < page.find("s/p/slowest").unwrap());
    for words in [
        "+30 %",
        "slower, 10 of 10 pairs",
        "1 time is the same",
        "No verdict on 1 of 6",
        "worse →",
    ] {
        assert!(page.contains(words), "{words}");
    }
    // The two pictures of ratios, and the measurements of each case with a section; each wide and narrow.
    assert_eq!(page.matches("<svg").count(), 2 * (2 + 4));
    // Our script, which has no cases to filter here, and nobody else's.
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains("script-src 'sha256-") && !page.contains("id=\"data\""));
    assert!(page.contains("class=\"terms sortable\"") && page.contains("<nav id=\"contents\""));
    assert_eq!(view.table.len(), 12);
}

#[test]
fn nothing_one_case_and_no_answer_are_said_in_words() {
    let (view, page) = page_of(vec![case("s/p/x", 1.0, Change::Same)]);
    assert_eq!((view.headline.as_str(), view.tone), ("Nothing changed", "good"));
    assert!(page.contains("Every time is the same") && !page.contains("id=\"cases\""));
    let (view, page) = page_of(Vec::new());
    assert_eq!((view.headline.as_str(), view.tone), ("Nothing was compared", "open"));
    assert!(!page.contains("<svg"));
    let (view, _) = page_of(vec![case("s/p/x", 1.0, Change::NoVerdict)]);
    assert_eq!((view.headline.as_str(), view.tone), ("No answer on 1 case", "open"));
    let (view, _) = page_of(vec![case("s/p/x", 0.8, Change::Faster)]);
    assert_eq!(
        (view.headline.as_str(), view.tone),
        ("1 case better, nothing got worse", "good")
    );
}

#[test]
fn what_moved_is_drawn_and_said_once() {
    let mut moved = case("s/p/moved", 1.0, Change::NoVerdict);
    for map in [Counter::Plan, Counter::Realised] {
        moved.counters.push(CounterRow {
            base: None,
            new: None,
            detail: Some("model.layers.1: b instead of a (and 1 more)".into()),
            ..counter(map, "", 0, 0, CounterChange::Differs)
        });
    }
    moved
        .counters
        .push(counter(Counter::PeakBytes, "a", 4096, 8192, CounterChange::Worse));
    let comparison = comparison(vec![moved], Relation::Versions);
    let standings = [Standing::Worse];
    let mut input = input(&comparison, &standings);
    input.maps = vec![Maps {
        case: "s/p/moved",
        base: layers(&["a", "a", "b"]),
        new: layers(&["a", "b", "b"]),
    }];
    let view = ComparisonView::new(&input);
    assert_eq!(view.headline, "1 case worse or different");
    let sentences = &view.facts[0].sentences;
    assert_eq!(
        sentences.as_slice(),
        [
            "1 of 3 modules moved, 1.00 MiB: layers.1 from a to b",
            "peak_bytes (a): 4.00 KiB → 8.00 KiB (+100 %)"
        ]
    );
    let page = render(&view).unwrap();
    assert!(!page.contains("instead of"), "the picture says it");
    assert!(page.contains("What moved, as a table") && page.contains("href=\"#case-1\""));
    // Without maps the words of the counters are all there is.
    input.maps.clear();
    assert!(
        render(&ComparisonView::new(&input))
            .unwrap()
            .contains("layers.1: b instead of a")
    );
}

#[test]
fn what_broke_and_what_is_missing_is_in_the_headline() {
    let comparison = comparison(vec![case("s/p/x", 1.0, Change::Same)], Relation::Versions);
    let standings = [Standing::Same];
    let mut input = input(&comparison, &standings);
    input.statuses = vec![StatusInput {
        case: "s/p/broken",
        base: "passed",
        new: "failed",
        reason: "stalled in decode",
        is_broken: true,
    }];
    input.missing = 2;
    input.not_compared = vec!["missing: s/p/y: the new run does not have it".into()];
    input.differences = vec![Difference {
        what: "kernel".into(),
        base: "6.1".into(),
        new: String::new(),
        cases: "1 of 2 cases".into(),
    }];
    input.sides[0].report = Some("../run%20one/report.html".into());
    let view = ComparisonView::new(&input);
    assert_eq!(view.headline, "1 case worse or different and 2 cases missing");
    let page = render(&view).unwrap();
    for words in [
        "failed, was passed: stalled in decode",
        "id=\"left-out\"",
        "the new run does not have it",
        "not there",
        "1 of 2 cases",
        "href=\"../run%20one/report.html\"",
    ] {
        assert!(page.replace("&#x2f;", "/").contains(words), "{words}");
    }
}

#[test]
fn placements_are_called_placements() {
    let mut other = case("s/p/split", 1.4, Change::Slower);
    other.base_case = "s/p/single".into();
    other.counters.clear();
    let comparison = comparison(vec![other], Relation::Placements);
    let standings = [Standing::Slower];
    let mut input = input(&comparison, &standings);
    input.sides = vec![side("run", "run-1")];
    let view = ComparisonView::new(&input);
    assert_eq!(view.headline, "1 placement slower");
    let page = render(&view).unwrap();
    assert!(page.contains("s/p/split against single") && page.contains("Placement over reference"));
    assert!(page.contains("Both sides are one run"));
}

#[test]
fn three_hundred_cases_stay_small_and_every_link_leads_somewhere() {
    let all = (0..300).map(|number| {
        let name = format!("scenario-{number:03}-with-a-name-of-more-than-sixty-characters-in-all/prompt/placement");
        match number % 2 {
            0 => case(&name, 1.1 + 0.001 * f64::from(number), Change::Slower),
            _ => case(&name, 1.0, Change::Same),
        }
    });
    let (view, page) = page_of(all.collect());
    println!("300 cases: {} KiB", page.len() / 1024);
    assert!(page.len() < 2 << 20, "{}", page.len());
    assert_eq!(page.matches("<article").count(), 40);
    assert!(page.contains("110 more cases changed") && page.contains("120 more are in the table"));
    assert_eq!(view.table.len(), 600);
    let targets = page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next());
    for target in targets {
        assert!(page.contains(&format!("id=\"{target}\"")), "{target}");
    }
    let again = page_of(view.loud.iter().map(|_| case("s/p/x", 1.1, Change::Slower)).collect()).1;
    assert_eq!(
        again,
        page_of(view.loud.iter().map(|_| case("s/p/x", 1.1, Change::Slower)).collect()).1
    );
}

#[test]
fn text_of_strangers_is_text() {
    let page = |text: &str| {
        let mut odd = case(text, 1.2, Change::Slower);
        odd.counters.push(CounterRow {
            detail: Some(text.into()),
            base: None,
            ..counter(Counter::TokenIds, text, 0, 0, CounterChange::Differs)
        });
        odd.timings[0].unit = text.into();
        let comparison = comparison(vec![odd], Relation::Versions);
        let standings = [Standing::Worse];
        let mut input = input(&comparison, &standings);
        let places = |device: &str| {
            vec![ModulePlace {
                module: text.into(),
                device: format!("{text}{device}"),
                bytes: None,
            }]
        };
        input.maps = vec![Maps {
            case: text,
            base: places("a"),
            new: places("b"),
        }];
        input.closing = text;
        input.sides = vec![side("base", text), side("new", text)];
        input.differences = vec![Difference {
            what: text.into(),
            base: text.into(),
            new: text.into(),
            cases: String::new(),
        }];
        input.statuses = vec![StatusInput {
            case: text,
            base: "passed",
            new: "failed",
            reason: text,
            is_broken: true,
        }];
        input.not_compared = vec![text.into()];
        input.remarks = vec![(text, text.into())];
        input.sentences = vec![text.into()];
        render(&ComparisonView::new(&input)).unwrap()
    };
    let evil = page("<script>alert(1)</script>\"'{{7*7}}\u{1b}\u{202e}</style></svg>");
    let benign = page("abc");
    assert!(evil.contains("alert(1)") && !evil.contains('\u{1b}') && !evil.contains('\u{202e}'));
    assert!(evil.contains("{{7*7}}") && evil.matches("<script").count() == 1);
    let count = |page: &str, tag: &str| page.matches(&format!("<{tag}")).count();
    for tag in [
        "p", "h3", "svg", "table", "td", "details", "article", "style", "script", "li", "a ",
    ] {
        assert_eq!(count(&evil, tag), count(&benign, tag), "{tag}");
    }
    assert!(page(&"x".repeat(100_000)).len() < 1 << 20, "what is long is cut");
}

#[test]
fn the_time_of_a_wrong_text_is_no_speed_here_either() {
    let mut wrong = case("s/p/wrong", 1.5, Change::Slower);
    for metric in [TimingMetric::TpotS, TimingMetric::LoadS] {
        let mut row = timing(metric, 1.5, Change::Slower, 10);
        row.change = Change::NoVerdict;
        row.reason = Some(NoVerdictReason::TextInvalid {
            side: SideName::Base,
            text: placebench_core::record::TextVerdict::Diverged,
        });
        wrong.timings.push(row);
    }
    wrong.timings.remove(0);
    let comparison = comparison(vec![wrong], Relation::Versions);
    let standings = [Standing::NoVerdict];
    let view = ComparisonView::new(&input(&comparison, &standings));
    let of = |metric: &str| view.loud.iter().find(|row| row.metric == metric).unwrap();
    let speed = of("tpot_s");
    assert_eq!((speed.base.as_str(), speed.new.as_str()), ("invalid", "invalid"));
    assert_eq!((speed.chart.log_ratio, speed.chart.pairs.len()), (None, 0));
    assert!(speed.why.contains("its timing is no speed"), "{}", speed.why);
    // Loading comes before any text.
    assert!(of("load_s").chart.log_ratio.is_some());
    let row = view.table.iter().find(|row| row.cells[0] == "tpot_s").unwrap();
    assert_eq!(row.values, [None, None, None]);
}
