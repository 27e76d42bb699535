//! Who may say what, and whose word counts.

use std::collections::HashMap;

use super::*;
use crate::compare::{GateSpec, TimingMetric, UnclearResult};
use crate::record::AgreementRule;
use crate::scenario::Problem;

fn config(text: &str) -> ConfigFile {
    parse_config(text).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn environment(variables: &[(&str, &str)]) -> Result<Given, String> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    from_environment(&|name| variables.get(name).map(|value| (*value).to_owned()))
}

const FILE: &str = r#"[profile.default]
retries = 1
seed = 7
output_dir = "here"

[profile.ci]
filterset = "tag(smoke)"
retries = 3
fail_fast = true

[profile.nightly]
max_fail = 9
flaky_result = "fail"
message_format = "ndjson"
repetitions = 6
rates = "machine.json"
timeout_multiplier = 2.5
"#;

fn profile(name: &str, line: usize) -> SettingSource {
    SettingSource::Profile {
        name: name.to_owned(),
        file: "p.toml".to_owned(),
        line,
    }
}

fn chosen(name: &str) -> Settings {
    choose(&config(FILE).layers(name, "p.toml", FILE).unwrap())
}

#[test]
fn a_profile_wins_over_the_default_profile_and_that_over_what_is_built_in() {
    let ci = chosen("ci");
    assert_eq!((ci.retries.value, ci.retries.source), (3, profile("ci", 8)));
    assert_eq!((ci.seed.value, ci.seed.source), (7, profile("default", 3)));
    assert_eq!(
        (ci.max_fail.value, ci.max_fail.source),
        (MaxFail::After(1), profile("ci", 9))
    );
    assert_eq!(
        (ci.repetitions.value, ci.repetitions.source),
        (None, SettingSource::Default)
    );
    assert_eq!(ci.filterset.value.as_deref(), Some("tag(smoke)"));
    let nightly = chosen("nightly");
    assert_eq!(
        (nightly.retries.value, nightly.retries.source),
        (1, profile("default", 2))
    );
    assert_eq!(nightly.max_fail.value, MaxFail::After(9));
    assert_eq!(nightly.flaky_result.value, FlakyResult::Fail);
    assert_eq!(nightly.message_format.value, MessageFormat::Ndjson);
    assert_eq!(nightly.repetitions.value, Some(6));
    assert_eq!(nightly.rates.value.as_deref(), Some("machine.json"));
    assert!((nightly.timeout_multiplier.value - 2.5).abs() < 1e-12);
    assert_eq!(chosen("default").output_dir.value, "here");
}

#[test]
fn flags_win_over_the_environment_and_that_over_profiles() {
    let mut layers = config(FILE).layers("ci", "p.toml", FILE).unwrap();
    let variables = environment(&[
        ("PLACEBENCH_RETRIES", "5"),
        ("PLACEBENCH_SEED", "6"),
        ("PLACEBENCH_FAIL_FAST", "false"),
    ]);
    layers.insert(0, variables.unwrap());
    layers.insert(
        0,
        Given {
            seed: Some((9, SettingSource::Flag)),
            ..Given::default()
        },
    );
    let settings = choose(&layers);
    let variable = |name: &str| SettingSource::Environment(name.to_owned());
    assert_eq!((settings.seed.value, settings.seed.source), (9, SettingSource::Flag));
    assert_eq!(
        (settings.retries.value, settings.retries.source),
        (5, variable("PLACEBENCH_RETRIES"))
    );
    assert_eq!(
        (settings.max_fail.value, settings.max_fail.source),
        (MaxFail::All, variable("PLACEBENCH_FAIL_FAST"))
    );
    assert_eq!(settings.filterset.value.as_deref(), Some("tag(smoke)"));
}

#[test]
fn an_unknown_profile_names_the_nearest() {
    let file = config(FILE);
    let problem = |name: &str| file.layers(name, "p.toml", FILE).unwrap_err();
    assert_eq!(problem("cii").hint.as_deref(), Some("did you mean `ci`?"));
    assert_eq!(problem("zzz").hint.as_deref(), Some("known here: default, ci, nightly"));
    assert!(
        ConfigFile::default()
            .layers(DEFAULT_PROFILE, "p.toml", "")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn every_mistake_of_a_file_has_its_place() {
    let text = r#"[profile.default]
retrys = 1
fail_fast = true
max_fail = 0
message_format = "jsno"
[profile.ci]
filterset = "tag(smoke) and nam(x)"
repetitions = 0
timeout_multiplier = -1.0
flaky_result = "maybe"
[profile.empty]
filterset = "tag(a) or"
[profile.escaped]
filterset = "tag(\u0061) &&"
[profiles.x]
seed = "one"
"#;
    let shown = |problem: &Problem| {
        let (line, column) = problem.position(text).unwrap();
        let place = &text[problem.span.clone().unwrap()];
        format!(
            "{line}:{column} {place:?} {} [{}]",
            problem.message,
            problem.hint.as_deref().unwrap_or("-")
        )
    };
    let problems = parse_config(text).unwrap_err();
    insta::assert_snapshot!(problems.iter().map(shown).collect::<Vec<_>>().join("\n"));
}

#[test]
fn variables_that_make_no_sense_are_named() {
    for (name, value) in [
        ("PLACEBENCH_RETRIES", "-1"),
        ("PLACEBENCH_MAX_FAIL", "0"),
        ("PLACEBENCH_FAIL_FAST", "yes"),
        ("PLACEBENCH_REPETITIONS", "0"),
        ("PLACEBENCH_SEED", "x"),
        ("PLACEBENCH_MESSAGE_FORMAT", "json"),
        ("PLACEBENCH_FLAKY_RESULT", "maybe"),
        ("PLACEBENCH_TIMEOUT_MULTIPLIER", "0"),
        ("PLACEBENCH_TIMEOUT_MULTIPLIER", "NaN"),
    ] {
        let why = environment(&[(name, value)]).unwrap_err();
        assert!(why.contains(name), "{why}");
        assert_eq!(
            environment(&[(name, "")]),
            Ok(Given::default()),
            "an empty variable is not set"
        );
    }
    assert_eq!(misspelt("PLACEBENCH_RETRYS").as_deref(), Some("PLACEBENCH_RETRIES"));
    for fine in [
        "PLACEBENCH_RETRIES",
        "PLACEBENCH_BREADCRUMB",
        "PLACEBENCH_NVML_LIBRARY",
        "PLACEBENCH_BIN",
        "PLACEBENCH_ARTIFACTS",
        "PLACEBENCH_SUPERVISOR_PID",
        "RETRYS",
    ] {
        assert_eq!(misspelt(fine), None, "{fine}");
    }
}

#[test]
fn multipliers_leave_deadlines() {
    for good in [0.001, 1.0, 1000.0] {
        assert!(check_multiplier(good).is_ok());
    }
    for bad in [0.0, -1.0, 1e9, f64::NAN, f64::INFINITY] {
        assert!(check_multiplier(bad).is_err(), "{bad}");
    }
}

const GATE: &str = r#"[profile.default.gate]
min_effect = 0.03
pairs = 12

[profile.ci.gate]
metrics = ["tpot_s"]
max_pairs = 30
tokens = { rule = "exact" }
unclear = "warn"
noise = "noise.json"

[profile.short.gate]
max_pairs = 8

[profile.long.gate]
pairs = 50
"#;

#[test]
fn a_gate_is_put_together_key_by_key() {
    let spec_of = |name: &str| choose(&config(GATE).layers(name, "p.toml", GATE).unwrap()).gate;
    let ci = spec_of("ci");
    assert_eq!(
        (ci.min_effect.value, &ci.min_effect.source),
        (0.03, &profile("default", 2))
    );
    assert_eq!((ci.max_pairs.value, &ci.max_pairs.source), (30, &profile("ci", 7)));
    assert_eq!(ci.noise.value.as_deref(), Some("noise.json"));
    let spec = ci.spec();
    assert_eq!((spec.pairs, spec.max_pairs, spec.looks()), (12, 30, 3));
    assert_eq!(spec.metrics, [TimingMetric::TpotS]);
    assert_eq!(
        (spec.tokens.rule, spec.unclear),
        (AgreementRule::Exact, UnclearResult::Warn)
    );
    assert_eq!(spec.alpha, GateSpec::versions().alpha);
    assert_eq!(spec.check(), Ok(()));
    assert_eq!(choose(&[]).gate.spec(), GateSpec::versions());
}

#[test]
fn pairs_and_their_cap_move_each_other_along_unless_both_are_given() {
    let alone = |text: &str| {
        let layers = config(text).layers("x", "p.toml", text).unwrap();
        let spec = choose(&layers).gate.spec();
        (spec.pairs, spec.max_pairs)
    };
    assert_eq!(alone("[profile.x.gate]\nmax_pairs = 8\n"), (8, 8));
    assert_eq!(alone("[profile.x.gate]\npairs = 50\n"), (50, 50));
    assert_eq!(alone("[profile.x.gate]\npairs = 12\n"), (12, 20));
    // Said by two, which a file cannot see.
    let flag = Given {
        gate: GateGiven {
            pairs: Some((40, SettingSource::Flag)),
            ..GateGiven::default()
        },
        ..Given::default()
    };
    let text = "[profile.x.gate]\nmax_pairs = 30\n";
    let mut layers = config(text).layers("x", "p.toml", text).unwrap();
    layers.insert(0, flag);
    assert!(choose(&layers).gate.spec().check().is_err());
}

#[test]
fn every_mistake_of_a_gate_has_its_place() {
    let text = r#"[profile.a.gate]
alpha = 0.9
agreement = 0.2
pairs = 4
min_effekt = 0.1
[profile.b.gate]
pairs = 30
max_pairs = 20
metrics = ["tpot_s", "tpot_s"]
[profile.c.gate]
metrics = ["tpot"]
unclear = "ignore"
max_pairs = 3
tokens = { rule = "near_tie", max_gap = -1.0 }
[profile.d.gate]
max_pairs = 100000
confidence = nan
"#;
    let shown = |problem: &Problem| {
        let (line, column) = problem.position(text).unwrap();
        let place = &text[problem.span.clone().unwrap()];
        let hint = problem.hint.as_deref().unwrap_or("-");
        format!("{line}:{column} {place:?} {} [{hint}]", problem.message)
    };
    let problems = parse_config(text).unwrap_err();
    insta::assert_snapshot!(problems.iter().map(shown).collect::<Vec<_>>().join("\n"));
}
