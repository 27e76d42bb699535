//! Judgements on texts through the whole tool: races, probes, the place where texts part, snapshots of other classes.

use placebench_core::outcome::{Outcome, Phase};
use placebench_core::record::{CaseStatus, ComparedWith, TextPlacing, TextVerdict};

use crate::env::{Ran, TestEnv, failed_checks, of};

const PLACEMENTS: &str = r#"
[placement.single]
device_map = "sim:0"
[placement.split]
device_map = { "model.embed_tokens" = "sim:0", "model.layers.0-3" = "sim:0", "model.layers.4-7" = "sim:1", "model.norm" = "sim:1", "lm_head" = "sim:1" }
"#;
const AGREE: &str = "[expect]\nagreement = { reference = \"single\", rule = \"exact\" }\n";

fn with(rest: &str) -> TestEnv {
    let env = TestEnv::new();
    env.scenario("s", &format!("{PLACEMENTS}{rest}"));
    env
}

/// A fault of the split placement alone.
fn fault(words: &str) -> String {
    format!("[[fault]]\n{words}\nplacements = [\"split\"]\n")
}

fn csv_cell(env: &TestEnv, case: &str, column: &str) -> String {
    let text = std::fs::read_to_string(env.latest().join("results.csv")).unwrap();
    let mut reader = text.lines();
    let at = reader
        .next()
        .unwrap()
        .split(',')
        .position(|name| name == column)
        .unwrap();
    // The columns after the first one with free text are counted from the end.
    let row = reader.find(|line| line.starts_with(case)).unwrap();
    let columns = text.lines().next().unwrap().split(',').count();
    row.rsplit(',').nth(columns - 1 - at).unwrap().to_owned()
}

#[test]
fn a_race_shows_up_as_a_rate() {
    let race = fault("kind = \"stale_copy\"\nat = { generation = 3, token = 2 }");
    let often = "[measure]\nwarmup = 1\nrepetitions = 5\nisolation = \"shared\"\n";
    let env = with(&format!("{race}{often}"));
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let split = of(&verdict, "s/p/split");
    assert_eq!(failed_checks(split), ["repeatable"]);
    assert_eq!(split.metrics.samples, 5, "another text does not end a case");
    assert_eq!(
        (split.metrics.matching_generations, split.metrics.distinct_texts),
        (Some(4), Some(2))
    );
    assert!((split.metrics.exact_match_rate.unwrap() - 0.8).abs() < 1e-12);
    assert!(
        split.findings[0].message.contains("rate of 0.80"),
        "{:?}",
        split.findings
    );
    assert_eq!(split.text, TextVerdict::Diverged);
    let parting = &split.divergences[0];
    // The warm-up is number 0 and not measured, so that number 3 of the process is the measured one number 2.
    assert_eq!((parting.generation, parting.index), (2, 2));
    assert_eq!(parting.with, ComparedWith::FirstGeneration);
    assert_eq!(csv_cell(&env, "s/p/split", "exact_match_rate"), "0.8");
    let single = of(&verdict, "s/p/single");
    assert_eq!(
        (single.status, single.metrics.exact_match_rate),
        (CaseStatus::Passed, Some(1.0))
    );
    assert_eq!(csv_cell(&env, "s/p/single", "exact_match_rate"), "1");
}

#[test]
fn what_happens_in_every_process_is_no_race() {
    let always = fault("kind = \"stale_copy\"\nat = { generation = 1 }");
    let env = with(&format!("{always}[measure]\nwarmup = 1\nrepetitions = 3\n"));
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(of(&verdict, "s/p/split").metrics.exact_match_rate, Some(1.0));
    let env = with("[measure]\nrepetitions = 1\n");
    let (_, verdict) = env.run_suite();
    assert_eq!(
        of(&verdict, "s/p/split").metrics.exact_match_rate,
        None,
        "nothing was repeated"
    );
}

#[test]
fn texts_that_part_are_quoted_around_the_token() {
    let env = with(&format!("{}{AGREE}", fault("kind = \"zero_copy\"\nat = { token = 3 }")));
    let (ran, verdict) = env.run_suite();
    let split = of(&verdict, "s/p/split");
    assert_eq!(failed_checks(split), ["agreement"]);
    let [parting] = split.divergences.as_slice() else {
        panic!("{:?}", split.divergences)
    };
    let placement = "single".to_owned();
    assert_eq!(parting.with, ComparedWith::Reference { placement });
    assert_eq!((parting.index, parting.placed_by), (3, TextPlacing::Offsets));
    assert_eq!(parting.ours.before, parting.theirs.before);
    for side in [&parting.ours, &parting.theirs] {
        assert_eq!(side.token, format!(" w{}", side.id.unwrap()));
        assert!(side.after.starts_with(" w"));
    }
    assert!(
        ran.stdout.contains(&format!("here:  {}⟦", parting.ours.before)),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains(&format!("there: {}⟦", parting.theirs.before)),
        "{}",
        ran.stdout
    );
    let env = with(AGREE);
    let (ran, verdict) = env.run_suite();
    assert!(of(&verdict, "s/p/split").divergences.is_empty() && !ran.stdout.contains("here:"));
}

#[test]
fn wrong_data_is_found_before_any_timing() {
    for (kind, at) in [
        ("zero_copy", "hop = \"model.layers.3 -> model.layers.4\""),
        ("corrupt_copy", "hop = \"model.layers.3 -> model.layers.4\""),
        ("nan", "module = \"model.layers.6\""),
    ] {
        let broken = fault(&format!("kind = \"{kind}\"\nat = {{ phase = \"prepare\", {at} }}"));
        let env = with(&format!("{broken}{AGREE}"));
        let (ran, verdict) = env.run_suite();
        assert_eq!(ran.code, Some(100), "{kind}");
        let split = of(&verdict, "s/p/split");
        assert_eq!(
            failed_checks(split),
            ["probe"],
            "{kind}: the generation itself is right"
        );
        assert!(
            split.findings[0].message.starts_with("wrong before any timing: "),
            "{:?}",
            split.findings
        );
        assert!(!split.text.timing_is_valid(), "{kind}");
        assert_eq!(of(&verdict, "s/p/single").status, CaseStatus::Passed, "{kind}");
        let probes = env.attempts().into_iter().filter_map(|attempt| attempt.probe);
        assert_eq!(probes.count(), 2, "{kind}");
    }
}

#[test]
fn a_healthy_probe_is_quiet_and_no_generation() {
    let env = with(&format!("{AGREE}[measure]\nwarmup = 1\nrepetitions = 2\n"));
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for attempt in env.attempts() {
        let probe = attempt.probe.unwrap();
        let made = &attempt.generations[0];
        assert_eq!(
            probe.top5[0].id, made.output_ids[0],
            "a generation begins with the likeliest token"
        );
        assert_eq!(probe.input_tokens as usize, made.input_ids.len());
        assert_eq!(attempt.generations.len(), 1);
    }
    let memory = |env: &TestEnv| -> Vec<_> { env.attempts().into_iter().map(|attempt| attempt.memory).collect() };
    let probed = memory(&env);
    assert_eq!(of(&verdict, "s/p/split").metrics.samples, 2);
    let env = with(&format!(
        "{AGREE}[measure]\nwarmup = 1\nrepetitions = 2\nprobe = false\n"
    ));
    assert_eq!(env.run_suite().0.code, Some(0));
    assert!(env.attempts().iter().all(|attempt| attempt.probe.is_none()));
    assert_eq!(memory(&env), probed, "it leaves nothing behind");
    let env = with("");
    env.run_suite();
    assert!(
        env.attempts().iter().all(|attempt| attempt.probe.is_none()),
        "nothing to compare with"
    );
}

#[test]
fn a_fault_of_the_generation_does_not_strike_in_the_probe() {
    let env = with(&format!("{}{AGREE}", fault("kind = \"zero_copy\"")));
    let (_, verdict) = env.run_suite();
    assert_eq!(failed_checks(of(&verdict, "s/p/split")), ["agreement"]);
    let full = fault("kind = \"out_of_memory\"\nat = { bytes = \"193KiB\" }");
    let env = with(&format!("{full}{AGREE}"));
    env.run_suite();
    let attempts = env.attempts();
    let split = attempts.iter().find(|attempt| attempt.case == "s/p/split").unwrap();
    let Outcome::OutOfMemory { failure } = &split.outcome else {
        panic!("{:?}", split.outcome)
    };
    assert_eq!(failure.phase, Phase::Prefill, "what needs the memory is the generation");
}

#[test]
fn a_hang_of_the_probe_is_a_stall_with_its_place() {
    let hang = fault("kind = \"stall\"\nat = { phase = \"prepare\", module = \"model.layers.5\" }");
    let env = with(&format!("{hang}{AGREE}[timeout]\nfirst_token = \"2s\"\n"));
    let (_, verdict) = env.run_suite();
    let split = of(&verdict, "s/p/split");
    assert_eq!(split.outcome.as_str(), "stalled");
    assert!(
        split.sentence.contains("in prepare") && split.sentence.contains("model.layers.5"),
        "{}",
        split.sentence
    );
}

/// Runs, approves, and runs again once the approved file has another name.
fn approved_as(name: &str, spoil: impl Fn(String) -> String) -> (Ran, placebench_core::record::RunVerdict, TestEnv) {
    let env = with("[expect]\nsnapshot = true\n");
    env.run_suite();
    env.run(&["accept", "suite"]);
    let folder = env.path("suite/snapshots/s");
    let text = std::fs::read_to_string(folder.join("p@cpu.snap")).unwrap();
    std::fs::remove_file(folder.join("p@cpu.snap")).unwrap();
    std::fs::write(folder.join(name), spoil(text)).unwrap();
    let (ran, verdict) = env.run_suite();
    (ran, verdict, env)
}

#[test]
fn a_snapshot_of_another_class_is_said_to_be_one() {
    let (ran, verdict, _) = approved_as("p@cpu.snap", |text| text);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(of(&verdict, "s/p/single").notes.is_empty());
    let (ran, verdict, _) = approved_as("p.snap", |text| text);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let judged = of(&verdict, "s/p/single");
    assert_eq!(
        judged.notes,
        ["compared with the approved snapshot for all device classes: there is none for cpu"]
    );
    assert!(ran.stdout.contains("there is none for cpu"), "{}", ran.stdout);
    let (ran, _, env) = approved_as("p@cuda.snap", |text| text);
    assert_eq!(
        ran.code,
        Some(113),
        "a card's text says nothing about the host: {ran:?}"
    );
    assert!(env.path("suite/snapshots/s/p@cpu.snap.new").exists());
}

#[test]
fn another_text_than_that_of_another_class_is_proposed_for_the_own_one() {
    let other = |text: String| text.replacen("token_ids: [", "token_ids: [1, ", 1);
    let (ran, verdict, env) = approved_as("p.snap", other);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let judged = of(&verdict, "s/p/single");
    assert_eq!(failed_checks(judged), ["snapshot"]);
    assert_eq!(judged.divergences[0].with, ComparedWith::Snapshot { class: None });
    env.run(&["accept", "suite"]);
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(of(&verdict, "s/p/single").notes.is_empty(), "it has one of its own now");
}

#[cfg(feature = "candle")]
#[test]
fn a_broken_hop_of_a_real_model_is_found_before_any_timing() {
    let hop = "at = { phase = \"prepare\", hop = \"model.layers.3 -> model.layers.4\" }";
    // What goes through the host is not tried beforehand, so that only the probe can find it.
    for (kind, checks) in [("corrupt_copy", &["probe"][..]), ("slow_link", &[])] {
        let env = crate::shipped::with_model();
        let broken = fault(&format!("kind = \"{kind}\"\n{hop}"));
        let placements = PLACEMENTS.replace(
            "lm_head\" = \"sim:1\" }",
            "lm_head\" = \"sim:1\" }\ntransfer = \"host\"",
        );
        env.scenario("s", &format!("{placements}{broken}{AGREE}"));
        let text = std::fs::read_to_string(env.path("suite/s.toml")).unwrap();
        env.write("suite/s.toml", &text.replace("1MiB", "64MiB"));
        let (ran, verdict) = env.run_suite();
        assert_eq!(failed_checks(of(&verdict, "s/p/split")), checks, "{ran:?}");
        assert_eq!(of(&verdict, "s/p/single").status, CaseStatus::Passed);
        for attempt in env.attempts() {
            let made = &attempt.generations[0];
            assert_eq!(made.text_offsets.len(), made.output_ids.len());
            assert_eq!(made.text_offsets.last().map(|end| *end as usize), Some(made.text.len()));
            assert!(attempt.eos_token_ids.is_some() && attempt.probe.is_some());
        }
    }
}
