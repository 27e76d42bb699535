//! What must be so of every answer, whatever the cases.

use proptest::prelude::*;

use super::testing::{Made, answer_of, made};
use super::*;

fn cases() -> impl Strategy<Value = Vec<String>> {
    let engine = prop::sample::select(vec!["candle", "transformers@incident", "transformers@newest", "openai"]);
    let placement = prop::sample::select(vec![
        "one:cpu",
        "one:cuda:0",
        "one:cuda:1",
        "two:cuda:0+cuda:1",
        "two:cuda:0+cuda:1 host",
        "two:cpu+disk",
        "auto:cuda:0+cuda:1",
        "auto:?",
        "ranks",
        "stated:x",
    ]);
    let flags = prop::sample::select(vec!["", "", "", "f16", "fault", "to=cpu", "unkept=cpu"]);
    let ended = prop::sample::select(vec![
        "ok",
        "ok",
        "unchecked",
        "near tie",
        "slow",
        "stall",
        "expected stall",
        "oom",
        "garbage",
        "diverged",
        "engines",
        "refused",
        "skipped",
        "unsupported",
        "timeout",
        "at times",
    ]);
    let line = (engine, placement, flags, ended)
        .prop_map(|(engine, placement, flags, ended)| (format!("{engine} {placement} {flags}"), ended));
    // A case is there once.
    prop::collection::btree_map(
        line.clone().prop_map(|(what, _)| what),
        line.prop_map(|(_, ended)| ended),
        1..10,
    )
    .prop_map(|cases| {
        cases
            .into_iter()
            .map(|(what, ended)| format!("{what} -> {ended}"))
            .collect()
    })
}

fn all(lines: &[String]) -> Vec<Made> {
    lines.iter().map(|line| made(line)).collect()
}

fn seen(made: &Made) -> Seen<'_> {
    let attempts: Vec<&Attempt> = made.attempts.iter().collect();
    Seen::new(&made.spec, &attempts, Some(&made.verdict))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_order_of_cases_does_not_matter(lines in cases().prop_flat_map(|lines| (Just(lines.clone()), Just(lines).prop_shuffle()))) {
        prop_assert_eq!(answer_of(&all(&lines.0)), answer_of(&all(&lines.1)));
    }

    #[test]
    fn nothing_is_blamed_that_no_case_tells_apart(lines in cases()) {
        let made = all(&lines);
        let Some(answer) = answer_of(&made) else { return Ok(()) };
        let seen: Vec<Seen<'_>> = made.iter().map(seen).collect();
        let wrong: Vec<&Seen<'_>> = seen.iter().filter(|seen| seen.is_wrong()).collect();
        let right: Vec<&Seen<'_>> = seen.iter().filter(|seen| seen.is_right()).collect();
        // What was asked, or where the model came to be.
        let is_elsewhere = |w: &Seen<'_>, r: &Seen<'_>| w.request.device_map != r.request.device_map || w.devices != r.devices;
        let differs = |what: &dyn Fn(&Seen<'_>, &Seen<'_>) -> bool| wrong.iter().any(|w| right.iter().any(|r| what(w, r)));
        match answer.blame {
            Blame::Placement => prop_assert!(differs(&|w, r| w.engine == r.engine && is_elsewhere(w, r))),
            Blame::Library => prop_assert!(differs(&|w, r| w.engine != r.engine || w.environment != r.environment || w.request.transfer != r.request.transfer)),
            Blame::Machine => prop_assert!(differs(&|w, r| w.engine == r.engine && (is_elsewhere(w, r) || r.is_host_staged()))),
            Blame::Model => prop_assert!(right.is_empty() || differs(&|w, r| w.dtype != r.dtype || w.script != r.script)),
            Blame::Injected => prop_assert!(wrong.iter().any(|w| !w.faults.is_empty())),
            Blame::Nothing => prop_assert!(wrong.is_empty() && !right.is_empty()),
            Blame::Undecided => prop_assert!(!answer.sentence.is_empty()),
        }
        prop_assert!(!answer.sentence.is_empty());
        prop_assert!(answer.because.iter().all(|because| !because.cases.is_empty()));
        let known: Vec<&str> = made.iter().map(|made| made.spec.case.as_str()).collect();
        prop_assert!(answer.because.iter().flat_map(|because| &because.cases).all(|case| known.contains(&case.as_str())));
    }

    #[test]
    fn a_named_map_that_one_engine_does_right_and_another_does_not_is_the_librarys(
        map in prop::sample::select(vec!["one:cpu", "two:cpu+disk", "two:cuda:0+cuda:1", "two:cuda:0+cuda:1 host"]),
        unkept in prop::sample::select(vec!["", "unkept=cpu", "unkept=cuda:0"]),
        ended in prop::sample::select(vec!["stall", "expected stall", "garbage", "refused", "oom"]),
        others in prop::collection::vec(prop::sample::select(vec!["transformers one:cuda:1 -> ok", "candle one:cuda:1 -> ok"]), 0..2),
    ) {
        let mut lines = vec![format!("transformers {map} {unkept} -> {ended}"), format!("candle {map} -> ok")];
        lines.extend(others.into_iter().map(ToOwned::to_owned));
        let answer = answer_of(&all(&lines));
        prop_assert_eq!(answer.as_ref().map(|answer| answer.blame), Some(Blame::Library), "{:#?}", answer);
        let told = answer.is_some_and(|answer| answer.sentence.contains("did not keep the map"));
        prop_assert_eq!(told, !unkept.is_empty());
    }

    #[test]
    fn a_prompt_without_a_right_case_blames_no_placement_library_or_machine(lines in cases()) {
        let made: Vec<Made> = all(&lines).into_iter().filter(|made| !seen(made).is_right()).collect();
        if let Some(answer) = answer_of(&made) {
            prop_assert!(!matches!(answer.blame, Blame::Placement | Blame::Library | Blame::Machine | Blame::Nothing));
        }
    }
}
