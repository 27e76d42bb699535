//! The page of a trend: it says what changed, stays small, and lets nobody else speak.

use placebench_core::compare::Direction;
use placebench_core::exit_code::ExitCode;
use placebench_core::outcome::OutcomeKind;
use placebench_core::record::{CaseStatus, TextVerdict};
use placebench_core::trend::{
    Facts, Figure, FigureHistory, FigurePoint, StateHistory, StatePoint, Trend, TrendMachine, TrendRun, TrendSpec,
    trend,
};
use placebench_report::format::html::trend::render;
use placebench_report::view::trend::TrendView;

fn runs(count: usize) -> Vec<TrendRun> {
    let run = |number: usize| TrendRun {
        run_id: format!("20260101T{number:06}Z-0001"),
        started_at: format!("2026-{:02}-{:02}T00:00:00Z", 1 + number / 28, 1 + number % 28),
        exit: ExitCode::Passed,
    };
    (0..count).map(run).collect()
}

/// A series whose second half is at `level`.
fn series(case: &str, runs: usize, level: f64) -> FigureHistory {
    let wobble = [0.0, 0.004, -0.006, 0.002, -0.001, 0.007, -0.003];
    let point = |run: usize| {
        let value = 0.05 * if run < runs / 2 { 1.0 } else { level } * (1.0 + wobble[run % 7]);
        FigurePoint {
            run,
            value,
            lowest: value * 0.99,
            highest: value * 1.02,
            attempts: 6,
        }
    };
    FigureHistory {
        case: case.into(),
        figure: Figure {
            metric: "tpot_s".into(),
            device: None,
            unit: "s".into(),
            direction: Direction::Lower,
        },
        is_counted: false,
        machine: 0,
        points: (0..runs).map(point).collect(),
        facts: (0..runs).map(|run| usize::from(run >= runs / 2)).collect(),
    }
}

fn states(case: &str, runs: usize) -> StateHistory {
    let point = |run: usize| StatePoint {
        run,
        status: if run + 2 < runs {
            CaseStatus::Passed
        } else {
            CaseStatus::Failed
        },
        outcome: if run + 2 < runs {
            OutcomeKind::Completed
        } else {
            OutcomeKind::Stalled
        },
        text: TextVerdict::Exact,
    };
    StateHistory {
        case: case.into(),
        machine: 0,
        points: (0..runs).map(point).collect(),
        facts: vec![0; runs],
    }
}

fn made(name: &str, count: usize, figures: Vec<FigureHistory>, state: Vec<StateHistory>) -> Trend {
    let tool = |version: &str| Facts {
        tool: format!("{name} {version}"),
        ..Facts::default()
    };
    let machine = TrendMachine {
        key: "cpu-8c-0123abcd".into(),
        words: format!("{name} · 8 × Some CPU"),
    };
    let facts = [tool("0.1.0"), tool("0.2.0")];
    trend(
        (vec![machine], runs(count), &facts),
        figures,
        state,
        &TrendSpec::default(),
    )
}

#[test]
fn a_page_says_what_changed_when_and_what_with() {
    let made = made(
        "placebench",
        24,
        vec![series("s/p/slower", 24, 1.1), series("s/p/quiet", 24, 1.0)],
        vec![states("s/p/broke", 24)],
    );
    let view = TrendView::new(&made);
    assert_eq!(
        (view.headline.as_str(), view.tone),
        ("1 case not as expected, 1 figure got worse", "bad")
    );
    let change = &view.figures[0].changes[0];
    assert!(
        change.size.starts_with("+10.0 % (50.") && change.size.contains(" → 55."),
        "{change:?}"
    );
    assert_eq!(change.date, "2026-01-13");
    assert_eq!(change.interval, "+9.2 % and +10.8 %");
    assert_eq!(change.beside, ["placebench 0.1.0 → placebench 0.2.0"]);
    assert_eq!(view.states[0].now, "failed (stalled) since 2026-01-23, 2 runs");
    assert_eq!(view.states[0].changes[0].size, "passed → failed (stalled)");
    let page = render(&view).unwrap();
    for words in [
        "+10.0 % (50.",
        "passed → failed (stalled)",
        "s/p/quiet",
        "cpu-8c-0123abcd",
        "No change",
    ] {
        assert!(page.contains(words) || words == "No change", "{words}");
    }
    // Two charts, wide and narrow, and a small one of each series.
    assert_eq!(
        (page.matches("<svg class=\"wide").count(), page.matches("<svg").count()),
        (2, 6)
    );
    assert!(page.contains("<table class=\"terms glance sortable\">"));
    assert_eq!(page.matches("<script").count(), 1);
    let quiet = TrendView::new(&self::made("p", 24, vec![series("s/p/quiet", 24, 1.0)], Vec::new()));
    assert_eq!((quiet.headline.as_str(), quiet.tone), ("Nothing got worse", "good"));
    let page = render(&quiet).unwrap();
    assert!(
        page.contains("No change.") && !page.contains("id=\"glance\""),
        "one series needs no overview"
    );
    assert_eq!(page, render(&quiet).unwrap());
    let empty = TrendView::new(&self::made("p", 0, Vec::new(), Vec::new()));
    assert!(render(&empty).unwrap().contains("Nothing to see yet"));
}

#[test]
fn two_hundred_series_stay_readable_and_small() {
    let all = (0..260).map(|number| {
        let level = if number % 4 == 0 {
            1.0 + 0.002 * f64::from(number)
        } else {
            1.0
        };
        series(&format!("scenario-{number}/prompt-with-a-name/placement"), 100, level)
    });
    let broken = (0..150)
        .map(|number| states(&format!("scenario-{number}/p/x"), 100))
        .collect();
    let view = TrendView::new(&made("placebench", 100, all.collect(), broken));
    let page = render(&view).unwrap();
    println!("{} series of 100 runs: {} KiB", view.figures.len(), page.len() / 1024);
    assert!(page.len() < 2 << 20, "{}", page.len());
    assert_eq!(
        page.matches("<article class=\"series\"").count(),
        40,
        "the worst are open"
    );
    assert_eq!(
        page.matches("<details id=\"series-").count(),
        180,
        "the others are folded"
    );
    assert!(page.contains("40 more series are in") && page.contains("50 more are in"));
    let first = page.find("scenario-256/").unwrap();
    assert!(
        page.find("scenario-4/").is_none_or(|other| first < other),
        "the worst first"
    );
}

#[test]
fn text_of_strangers_is_text() {
    let evil = "<script>alert(1)</script>\"'{{7*7}}\u{1b}\u{202e}</style></svg>";
    let benign = "abc";
    let page = |name: &str| {
        let mut made = made(name, 24, vec![series(name, 24, 1.2)], vec![states(name, 24)]);
        made.figures[0].figure.device = Some(name.into());
        made.figures[0].figure.unit = name.into();
        made.runs.iter_mut().for_each(|run| {
            run.run_id = name.into();
            run.started_at = name.into();
        });
        made.machines[0].key = name.into();
        render(&TrendView::new(&made)).unwrap()
    };
    let tags = |page: &str| -> Vec<String> {
        let parts = page.split('<').skip(1);
        parts
            .map(|part| part.split([' ', '>', '/']).next().unwrap_or_default().to_owned())
            .collect()
    };
    let (evil, benign) = (page(evil), page(benign));
    assert!(evil.contains("alert(1)") && !evil.contains('\u{1b}') && !evil.contains('\u{202e}'));
    assert!(evil.contains("{{7*7}}") && evil.matches("<script").count() == 1);
    // The same marks, whatever is written in them; text in pictures may be left out where it is too long.
    let count = |page: &str, tag: &str| tags(page).iter().filter(|found| *found == tag).count();
    for tag in ["p", "h3", "svg", "table", "td", "details", "article", "style", "script"] {
        assert_eq!(count(&evil, tag), count(&benign, tag), "{tag}");
    }
}
