//! What a page tells of a case in words: its text in tokens, where it parts from another, how it ended, how to run it again.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod sample;

use placebench_core::outcome::{FailureClass, Outcome, OutcomeKind, Phase, WorkerFailure};
use placebench_core::protocol::{Generation, TokenLogit};
use placebench_core::record::{
    ComparedWith, Divergence, DivergentText, LastEvent, RunRecord, TextPlacing, TextVerdict,
};
use placebench_core::units::Bytes;
use placebench_report::format::html;
use placebench_report::view::story::StoryView;
use placebench_report::view::{CaseView, ReportView};
use sample::timed::run;

const SINGLE: &str = "placement/three-ways/story/single";
const AUTO: &str = "placement/three-ways/story/auto";
const STALLED: &str = "regressions/broken-hop/story/auto";

/// A generation of these tokens, whose ids are their positions from `first_id`.
fn said(template: &Generation, tokens: &[&str], first_id: u32) -> Generation {
    let mut text = String::new();
    let mut text_offsets = Vec::new();
    for token in tokens {
        text.push_str(token);
        text_offsets.push(u32::try_from(text.len()).unwrap());
    }
    Generation {
        output_ids: (first_id..).take(tokens.len()).collect(),
        text,
        text_offsets,
        top5: Vec::new(),
        ..template.clone()
    }
}

/// The sample, in which all generations of a case say these tokens.
fn saying(record: &mut RunRecord, case: &str, make: impl Fn(&Generation) -> Generation) {
    let own = record.attempts.iter_mut().filter(|attempt| attempt.case == case);
    let mut met = 0;
    for generation in own.flat_map(|attempt| &mut attempt.generations) {
        *generation = make(generation);
        met += 1;
    }
    assert!(met > 0, "{case} generates something");
}

fn of(record: &RunRecord, case: &str) -> CaseView {
    ReportView::new(record)
        .cases()
        .find(|view| view.case == case)
        .unwrap()
        .clone()
}

/// The article of a case.
fn article(record: &RunRecord, case: &str) -> String {
    let view = ReportView::new(record);
    let anchor = view.cases().find(|view| view.case == case).unwrap().anchor.clone();
    let page = html::render(&view).unwrap();
    let start = page.find(&format!("\" id=\"{anchor}\">")).unwrap();
    page[start..start + page[start..].find("</article>").unwrap()].to_owned()
}

fn story(record: &RunRecord, case: &str) -> StoryView {
    of(record, case).narrative.story.unwrap()
}

fn logits(best: u32, rest: &[(u32, f32)]) -> Vec<TokenLogit> {
    let first = TokenLogit { id: best, logit: 9.0 };
    let rest = rest.iter().map(|(id, behind)| TokenLogit {
        id: *id,
        logit: 9.0 - behind,
    });
    std::iter::once(first).chain(rest).collect()
}

/// Two texts that part at their third token, with what each side thought there.
fn parted(verdict: TextVerdict, gap: Option<f32>, tops: [Vec<TokenLogit>; 2]) -> RunRecord {
    let mut record = sample::sample();
    let [ours, theirs] = tops;
    saying(&mut record, SINGLE, |made| Generation {
        top5: vec![Vec::new(), Vec::new(), theirs.clone(), Vec::new()],
        ..said(made, &["Once", " upon", " a", " time"], 10)
    });
    saying(&mut record, AUTO, |made| {
        let made = said(made, &["Once", " upon", " the", " time"], 10);
        Generation {
            output_ids: vec![10, 11, 77, 13],
            top5: vec![Vec::new(), Vec::new(), ours.clone(), Vec::new()],
            ..made
        }
    });
    let judged = record
        .verdict
        .cases
        .iter_mut()
        .find(|judged| judged.case == AUTO)
        .unwrap();
    let text = |id, token: &str| DivergentText {
        id: Some(id),
        before: "Once upon".into(),
        token: token.into(),
        after: " time".into(),
    };
    judged.divergences = vec![Divergence {
        with: ComparedWith::Reference {
            placement: "single".into(),
        },
        generation: 0,
        sequence: 0,
        index: 2,
        verdict,
        gap,
        ours: text(77, " the"),
        theirs: text(12, " a"),
        placed_by: TextPlacing::Offsets,
    }];
    record
}

#[test]
fn a_near_tie_is_said_to_count_as_equal_and_why() {
    let tops = [logits(77, &[(12, 0.004)]), logits(12, &[(77, 0.002)])];
    let record = parted(TextVerdict::NearTie, Some(0.004), tops);
    let case = of(&record, AUTO);
    let parting = &case.narrative.partings[0];
    assert_eq!(
        parting.title,
        "The text parts from placement single, at token 2 (counted from 0)"
    );
    assert_eq!(
        parting.rule,
        "A near tie: the two tokens were 0.0040 apart in logits, and up to 0.01 counts as a tie, so it counts as equal."
    );
    assert!(parting.is_equal);
    let thought = parting.sides.clone().map(|side| side.other);
    assert_eq!(thought, ["0.0040 behind its own", "0.0020 behind its own"]);
    let ranks: Vec<_> = parting
        .ranks
        .iter()
        .map(|rank| rank.sides.clone().map(Option::unwrap))
        .collect();
    assert_eq!((ranks[0][0].text.as_str(), ranks[0][1].text.as_str()), (" the", " a"));
    assert!(ranks.iter().flatten().all(|token| token.is_pick));
    assert_eq!(ranks[1][0].behind, "−0.004");
    assert!(case.output.parts && case.output.first == " the");
    assert_eq!(case.output.same.tokens, ["Once", " upon"]);
    let article = article(&record, AUTO);
    assert!(
        article.contains("<i>Once</i><i> upon</i></span><mark> the</mark><i> time</i>"),
        "{article}"
    );
    assert!(article.contains("After it, not compared"));
}

#[test]
fn no_near_tie_says_what_each_side_thought() {
    let tops = [logits(77, &[(12, 0.75)]), logits(12, &[(5, 0.2), (6, 0.3)])];
    let wide = parted(TextVerdict::Diverged, Some(0.75), tops.clone());
    let rule = of(&wide, AUTO).narrative.partings[0].rule.clone();
    assert!(
        rule.starts_with("Not a near tie: the two tokens were 0.7500 apart in logits, and only up to 0.01 counts"),
        "{rule}"
    );
    let parting = of(&parted(TextVerdict::Diverged, None, tops), AUTO).narrative.partings[0].clone();
    let thought = parting.sides.clone().map(|side| side.other);
    assert_eq!(thought, ["0.7500 behind its own", "not among its 3 likeliest"]);
    assert!(
        parting
            .rule
            .contains("on one side the other's token was not among the likeliest")
    );
    assert_eq!(parting.ranks.len(), 3);
    assert_eq!(parting.ranks[2].sides[0], None, "one side tells fewer");
    let silent = parted(TextVerdict::Diverged, None, [Vec::new(), Vec::new()]);
    let silent = of(&silent, AUTO).narrative.partings[0].clone();
    assert!(silent.rule.contains("no logits of this step are on record") && silent.ranks.is_empty());
}

#[test]
fn an_exact_rule_refuses_a_near_tie() {
    let tops = [logits(77, &[(12, 0.004)]), logits(12, &[(77, 0.002)])];
    let mut record = parted(TextVerdict::NearTie, Some(0.004), tops);
    let judged = record
        .verdict
        .cases
        .iter_mut()
        .find(|judged| judged.case == AUTO)
        .unwrap();
    judged.findings = vec![sample::finding("agreement", "the text parts", None)];
    let parting = of(&record, AUTO).narrative.partings[0].clone();
    assert!(
        parting.rule.ends_with("but the scenario asks for the same tokens."),
        "{}",
        parting.rule
    );
    assert!(!parting.is_equal);
}

#[test]
fn texts_of_different_length_say_which_one_ends() {
    let mut record = sample::sample();
    saying(&mut record, SINGLE, |made| said(made, &["Once", " upon", " a"], 10));
    saying(&mut record, AUTO, |made| said(made, &["Once", " upon"], 10));
    let shorter = of(&record, AUTO).output;
    assert_eq!(shorter.note, "ends where single goes on, after 2 tokens");
    assert!(shorter.parts && shorter.first.is_empty());
    saying(&mut record, AUTO, |made| {
        said(made, &["Once", " upon", " a", " time"], 10)
    });
    let longer = of(&record, AUTO).output;
    assert_eq!(longer.note, "goes on where single ends, after 3 tokens");
    assert_eq!(longer.first, " time");
    saying(&mut record, AUTO, |made| said(made, &["Once", " upon", " a", ""], 10));
    assert_eq!(
        of(&record, AUTO).output.first,
        "⟨token 13⟩",
        "an end token shows nothing, and is the one that differs"
    );
    saying(&mut record, AUTO, |made| said(made, &["Once", " upon", " a"], 10));
    assert_eq!(of(&record, AUTO).output.note, "the same as single, all 3 tokens");
}

#[test]
fn an_empty_output_is_said_to_be_one() {
    let mut record = sample::sample();
    saying(&mut record, SINGLE, |made| said(made, &[], 0));
    let output = of(&record, SINGLE).output;
    assert!(output.is_empty && !output.has_tokens);
    assert!(article(&record, SINGLE).contains("an empty text"));
}

#[test]
fn hostile_tokens_are_bounded_visible_and_harmless() {
    let huge = "x".repeat(100_000);
    let tower = format!("a{}", "\u{301}".repeat(20_000));
    let line = "y".repeat(30_000);
    for (token, shown) in [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)"),
        ("\u{202e}gnp.exe\u{2066}", "⟨U+202E⟩gnp.exe⟨U+2066⟩"),
        ("a\0b\u{1b}[2J", "a␀b␛[2J"),
        (
            tower.as_str(),
            "a\u{301}\u{301}\u{301}\u{301} … (19801 more characters)",
        ),
        (huge.as_str(), "(99800 more characters)"),
        (line.as_str(), "(29800 more characters)"),
        ("{{ 7 * 7 }}", "{{ 7 * 7 }}"),
    ] {
        let mut record = sample::sample();
        saying(&mut record, SINGLE, |made| said(made, &["Once", token, token, "z"], 10));
        saying(&mut record, AUTO, |made| {
            let made = said(made, &["Once", token, "other", token], 10);
            Generation {
                output_ids: vec![10, 11, 99, 13],
                ..made
            }
        });
        for case in [SINGLE, AUTO] {
            let article = article(&record, case);
            assert!(article.contains(shown), "{shown}: {article}");
            assert!(article.len() < 40_000, "{shown}: {} bytes", article.len());
            assert!(!article.contains(['\u{202e}', '\u{2066}', '\0', '\u{1b}']) && !article.contains("<script"));
            assert!(article.matches('\u{301}').count() < 100);
        }
    }
}

#[test]
fn a_text_without_boundaries_parts_between_characters() {
    let mut record = sample::sample();
    saying(&mut record, SINGLE, |made| said(made, &["Once", " upon"], 10));
    saying(&mut record, AUTO, |made| Generation {
        text_offsets: Vec::new(),
        output_ids: vec![10, 50],
        ..said(made, &["Once", " under"], 10)
    });
    let output = of(&record, AUTO).output;
    assert!(!output.has_tokens);
    assert_eq!((output.same.text().as_str(), output.first.as_str()), ("Once u", "nder"));
    assert!(!article(&record, AUTO).contains("show tokens"));
    assert!(article(&record, SINGLE).contains("show tokens"));
}

fn event(kind: &str, before_end_s: f64, words: &str) -> LastEvent {
    LastEvent {
        event: kind.into(),
        before_end_s,
        words: words.into(),
    }
}

#[test]
fn a_stall_is_told_from_what_was_asked_to_its_end() {
    let mut record = sample::sample();
    for attempt in record.attempts.iter_mut().filter(|attempt| attempt.case == STALLED) {
        attempt.partial_tokens = vec![(0.04, Some(7)), (0.05, Some(8)), (0.062, Some(9))];
        attempt.killed_after_s = Some(5.0);
        attempt.last_events = vec![
            event("phase", 2.03, "decode begins"),
            event("token", 2.0, "number 2 of <b>generation</b> 0: id 9\u{202e}"),
            event("memory", -0.02, "peak on sim:0: 1.00 MiB"),
        ];
    }
    let told = story(&record, STALLED);
    assert_eq!(
        told.tokens,
        "3 tokens, the last one 62.0 ms after the start of the generation and 12.0 ms after the one before it"
    );
    assert!(
        told.place.starts_with("in decode, token 3, hop model.layers.3 → "),
        "{}",
        told.place
    );
    let when: Vec<&str> = told.events.iter().map(|event| event.when.as_str()).collect();
    assert_eq!(when, ["2.03 s before", "2.00 s before", "20.0 ms after"]);
    let gaps: Vec<&str> = told.events.iter().map(|event| event.gap.as_str()).collect();
    assert_eq!(gaps, ["", "30.0 ms", "2.02 s"]);
    assert_eq!(
        (told.until, told.events[1].words.as_str()),
        ("the deadline", "number 2 of <b>generation</b> 0: id 9⟨U+202E⟩")
    );
    assert!(
        told.end.contains("did not end within 5.00 s of SIGTERM and was killed"),
        "{}",
        told.end
    );
    let article = article(&record, STALLED);
    let steps = [
        "What it was asked",
        "How far it came",
        "Where it was",
        "What it had said last",
        "How it ended",
        "What to try",
    ];
    let found: Vec<usize> = steps
        .iter()
        .map(|step| article.find(step).unwrap_or_else(|| unreachable!("{step}")))
        .collect();
    assert!(found.is_sorted(), "{found:?}");
    assert!(article.contains("<details class=\"story\" open>"), "a failure is news");
    assert!(article.contains("&lt;b&gt;generation") && !article.contains("<b>generation"));
}

#[test]
fn what_is_not_on_record_is_not_told() {
    let record = sample::sample();
    let told = story(&record, STALLED);
    assert!(told.events.is_empty());
    let article = article(&record, STALLED);
    assert!(!article.contains("What it had said last") && !article.contains("What it was doing"));
    assert!(
        !article.contains("ended on SIGTERM"),
        "an old record does not say how it ended"
    );
    assert_eq!(
        of(&record, SINGLE).narrative.story,
        None,
        "a case that completed has no such story"
    );
}

#[test]
fn a_device_that_had_not_enough_is_named_with_what_was_missing() {
    let mut record = sample::sample();
    let attempt = record
        .attempts
        .iter_mut()
        .find(|attempt| attempt.case == STALLED)
        .unwrap();
    attempt.outcome = Outcome::OutOfMemory {
        failure: WorkerFailure {
            class: FailureClass::OutOfMemory,
            message: "model.layers.3 does not fit on sim:0".into(),
            phase: Phase::Load,
            device: Some(sample::device("sim:0")),
            needed_bytes: Some(Bytes(3 << 20)),
            allowed_bytes: Some(Bytes(2 << 20)),
            place: None,
            rank: None,
        },
    };
    let judged = record
        .verdict
        .cases
        .iter_mut()
        .find(|judged| judged.case == STALLED)
        .unwrap();
    judged.outcome = OutcomeKind::OutOfMemory;
    let told = story(&record, STALLED);
    let facts: Vec<(&str, &str)> = told
        .cause
        .iter()
        .map(|fact| (fact.name.as_str(), fact.value.as_str()))
        .collect();
    assert_eq!(
        facts,
        [
            ("device", "sim:0"),
            ("needed", "3.00 MiB"),
            ("allowed", "2.00 MiB"),
            ("missing", "1.00 MiB")
        ]
    );
    assert_eq!(told.until, "the end");
    let view = of(&record, STALLED);
    let commands: Vec<&str> = view
        .narrative
        .reproduce
        .commands
        .iter()
        .map(|command| command.does)
        .collect();
    assert_eq!(commands, ["run it again", "plan it without running it"]);
}

#[test]
fn numbers_that_are_none_break_no_story() {
    let mut record = sample::sample();
    for attempt in &mut record.attempts {
        attempt.partial_tokens = vec![(f64::NAN, Some(1)), (f64::INFINITY, Some(2))];
        attempt.last_events = vec![event("\u{1b}token", f64::NAN, &"\u{301}".repeat(400)); 40];
        attempt.killed_after_s = Some(f64::NEG_INFINITY);
        attempt.phases = attempt
            .phases
            .first()
            .map(|phase| vec![phase.clone(); 1000])
            .unwrap_or_default();
    }
    let told = story(&record, STALLED);
    assert_eq!(told.events.len(), LastEvent::MOST);
    assert!(told.phases.len() < 20 && told.phases.iter().any(|phase| phase.words == "988 more"));
    assert!(html::render(&ReportView::new(&record)).unwrap().len() < 900_000);
}

#[test]
fn names_too_long_for_a_command_have_none() {
    let mut record = sample::sample();
    let long = format!("{}/p/q", "n".repeat(5000));
    let old = record.info.cases[0].case.clone();
    record.info.cases[0].case.clone_from(&long);
    record
        .attempts
        .iter_mut()
        .filter(|attempt| attempt.case == old)
        .for_each(|attempt| attempt.case.clone_from(&long));
    record.verdict.cases[0].case.clone_from(&long);
    let view = ReportView::new(&record);
    assert!(view.cases().next().unwrap().narrative.reproduce.commands.is_empty());
    assert!(!view.cases().nth(1).unwrap().narrative.reproduce.commands.is_empty());
}

#[test]
fn a_case_of_which_some_attempts_ran_beside_others_says_so() {
    let why = |beside: usize| {
        let mut record = run(&[("single", 1.0), ("auto", 0.5)], 4);
        let of_auto = record
            .attempts
            .iter_mut()
            .filter(|attempt| attempt.case.ends_with("/auto"));
        of_auto.take(beside).for_each(|attempt| attempt.concurrent = 1);
        let metrics = &mut record.verdict.cases[1].metrics;
        (metrics.ttft_s, metrics.tpot_s, metrics.e2e_s) = (None, None, None);
        let view = ReportView::new(&record);
        view.scenarios[0].prompts[0].cases[1].tpot.words().to_owned()
    };
    assert_eq!(why(0), "not measured");
    assert_eq!(why(1), "not measured: 1 of 4 attempts ran beside others");
    assert_eq!(why(4), "not measured: ran beside others");
}
