//! What belongs together, and what does not.

use super::*;
use crate::record::{FlakyResult, Tool};
use crate::selection::Partition;
use crate::selection::testing::{cases_of, run_of};
use crate::units::Bytes;
use proptest::prelude::*;

const SUITE: &str = "[model]\npath = \"m\"\n[[prompt]]\nname = \"p\"\ntext = \"x\"\n[[prompt]]\nname = \"q\"\ntext = \"y\"\n\
                     [[prompt]]\nname = \"r\"\ntext = \"z\"\n[placement.a]\ndevice_map = \"cpu\"\n[placement.b]\ndevice_map = \"auto\"\n";

fn suite() -> Vec<CaseSpec> {
    let mut cases = cases_of("one", SUITE);
    cases.extend(cases_of("two", SUITE));
    cases
}

/// A shard of the suite as `run` records it.
fn shard(text: &str) -> RunInfo {
    let partition: Partition = text.parse().unwrap();
    let all = suite();
    let taken = partition.takes(&all);
    let mut info = run_of(&["single"], 1);
    info.run_id = format!("run-{text}").replace([':', '/'], "-");
    info.control.partition = Some(partition);
    info.control.selected = all.iter().map(|case| case.case.clone()).collect();
    info.cases = all
        .into_iter()
        .zip(taken)
        .filter(|(_, taken)| *taken)
        .map(|(case, _)| case)
        .collect();
    info
}

fn part<'a>(name: &'a str, info: &'a RunInfo) -> Part<'a> {
    Part {
        name,
        info,
        unfinished: &[],
    }
}

fn names(cases: &[CaseSpec]) -> Vec<String> {
    cases.iter().map(|case| case.case.clone()).collect()
}

#[test]
fn all_shards_make_the_whole_in_the_order_of_the_suite() {
    let (one, two, three) = (shard("slice:1/3"), shard("slice:2/3"), shard("slice:3/3"));
    let (merged, gaps) = merge(&[part("c", &three), part("a", &one), part("b", &two)]).unwrap();
    assert_eq!(gaps, []);
    assert_eq!(merged.cases, suite());
    assert_eq!(merged.shards.len(), 3);
    assert!(merged.control.partition.is_none() && merged.control.selected.is_empty());
    assert_eq!(merged.shards[0].control.partition, three.control.partition);
    assert!(
        merged.shards[0].control.selected.is_empty(),
        "the long list is not kept three times"
    );
    assert_eq!(merged.shards[0].cases, names(&three.cases));
}

#[test]
fn a_missing_shard_and_its_cases_are_named() {
    let (one, three) = (shard("slice:1/3"), shard("slice:3/3"));
    let (merged, gaps) = merge(&[part("a", &one), part("c", &three)]).unwrap();
    assert_eq!(merged.cases.len(), 8);
    let [MergeError::Gap { shards, cases }] = gaps.as_slice() else {
        panic!("{gaps:?}")
    };
    assert_eq!(shards, &["slice:2/3"]);
    assert_eq!(cases, &names(&shard("slice:2/3").cases));
    assert!(gaps[0].is_gap());
    let mut partly = run_of(&["single"], 1);
    partly.control = merged.control;
    partly.cases = merged.cases;
    let (_, still) = merge(&[part("partly", &partly)]).unwrap();
    assert!(
        matches!(still.as_slice(), [MergeError::Gap { .. }]),
        "merging once more closes no gap: {still:?}"
    );
    assert!(
        gaps[0]
            .to_string()
            .starts_with("shard slice:2/3 is missing: no run made one/q/a"),
        "{}",
        gaps[0]
    );
}

#[test]
fn an_unfinished_run_is_a_gap() {
    let info = run_of(&["single", "auto"], 1);
    let unfinished = ["s/p/auto".to_owned()];
    let given = Part {
        unfinished: &unfinished,
        ..part("reports/x", &info)
    };
    let (_, gaps) = merge(&[given]).unwrap();
    assert_eq!(gaps.len(), 1);
    assert!(
        gaps[0].is_gap() && gaps[0].hint().contains("--resume 20261122T140000Z-0001"),
        "{}",
        gaps[0].hint()
    );
}

#[test]
fn a_case_that_two_runs_made_is_named() {
    let (one, two) = (shard("hash:1/2"), shard("hash:2/2"));
    let mut again = one.clone();
    again.run_id = "run-again".into();
    let errors = merge(&[part("a", &one), part("b", &two), part("c", &again)]).unwrap_err();
    let [MergeError::Duplicates { first, second, cases }] = errors.as_slice() else {
        panic!("{errors:?}")
    };
    assert_eq!((first.as_str(), second.as_str(), cases), ("a", "c", &names(&one.cases)));
    let errors = merge(&[part("a", &one), part("copy", &one)]).unwrap_err();
    assert!(matches!(errors.as_slice(), [MergeError::SameRun { .. }]), "{errors:?}");
}

#[test]
fn shards_of_different_selections_are_refused() {
    let one = shard("slice:1/2");
    let why = |other: &RunInfo| {
        let errors = merge(&[part("a", &one), part("b", other)]).unwrap_err();
        let found = errors.iter().find_map(|error| match error {
            MergeError::OtherSelection { why, .. } => Some(why.clone()),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("{errors:?}"))
    };
    assert_eq!(why(&shard("hash:2/2")), "one is slice:1/2, the other hash:2/2");
    assert_eq!(why(&shard("slice:2/3")), "one is slice:1/2, the other slice:2/3");
    let mut filtered = shard("slice:2/2");
    filtered.control.selected.retain(|case| !case.starts_with("one/p"));
    assert_eq!(why(&filtered), "one/p/a was selected for the first only");
    filtered.control.selected.push("three/p/a".into());
    filtered.control.selected.extend(["one/p/a".into(), "one/p/b".into()]);
    assert_eq!(why(&filtered), "three/p/a was selected for the second only");
    let mut whole = shard("slice:2/2");
    whole.control.partition = None;
    assert_eq!(why(&whole), "the first is slice:1/2, the second no shard");
}

#[test]
fn runs_that_are_no_shards_are_put_one_behind_the_other() {
    let one = run_of(&["single", "auto"], 1);
    let mut two = one.clone();
    two.run_id = "other".into();
    two.cases = suite();
    let (merged, gaps) = merge(&[part("a", &one), part("b", &two)]).unwrap();
    assert_eq!(gaps, []);
    assert_eq!(names(&merged.cases), [names(&one.cases), names(&two.cases)].concat());
}

#[test]
fn machines_keep_their_fingerprints_and_the_whole_has_what_they_share() {
    let environment = |cpu: &str, cores: usize, threads: &str| Environment {
        platform: "linux x86_64".into(),
        kernel: "6.8".into(),
        cpu: cpu.into(),
        cpu_count: cores,
        memory_bytes: Bytes(cores as u64),
        worker_env: vec![("A".into(), "1".into()), ("RAYON_NUM_THREADS".into(), threads.into())],
    };
    let (mut one, mut two) = (shard("slice:1/2"), shard("slice:2/2"));
    one.environment = environment("Old CPU", 8, "8");
    two.environment = environment("New CPU", 4, "4");
    two.tool = Tool {
        version: "0.2.0".into(),
        ..two.tool
    };
    two.control.flaky_result = FlakyResult::Fail;
    two.control.retries = 2;
    two.control.profile = Some("ci".into());
    let (merged, _) = merge(&[part("a", &one), part("b", &two)]).unwrap();
    assert_eq!(merged.environment.platform, "linux x86_64");
    assert_eq!(merged.environment.cpu, "Old CPU; New CPU");
    assert_eq!(
        (merged.environment.cpu_count, merged.environment.memory_bytes),
        (4, Bytes(4))
    );
    assert_eq!(merged.environment.worker_env, [("A".into(), "1".into())]);
    assert_eq!(merged.shards[0].environment, one.environment);
    assert_eq!(
        (&merged.shards[1].environment, &merged.shards[1].tool),
        (&two.environment, &two.tool)
    );
    assert_eq!(
        (merged.control.flaky_result, merged.control.retries),
        (FlakyResult::Fail, 2)
    );
    assert_eq!(merged.control.profile, None, "they do not agree on one");
    // What was merged can be merged again without a machine being lost.
    let mut whole = run_of(&["single"], 1);
    whole.run_id = "whole".into();
    whole.shards = merged.shards.clone();
    let (again, _) = merge(&[part("whole", &whole)]).unwrap();
    assert_eq!(again.shards, merged.shards);
}

proptest! {
    #[test]
    fn any_subset_of_shards_is_the_whole_or_names_exactly_what_lacks(count in 1_u32..6, given in prop::collection::vec(any::<bool>(), 6), hash: bool) {
        let kind = if hash { "hash" } else { "slice" };
        let shards: Vec<RunInfo> = (1..=count).map(|index| shard(&format!("{kind}:{index}/{count}"))).collect();
        let chosen: Vec<&RunInfo> = shards.iter().zip(&given).filter(|(_, given)| **given).map(|(info, _)| info).collect();
        prop_assume!(!chosen.is_empty());
        let parts: Vec<Part<'_>> = chosen.iter().map(|info| part(&info.run_id, info)).collect();
        let (merged, gaps) = merge(&parts).unwrap();
        let made: BTreeSet<String> = names(&merged.cases).into_iter().collect();
        let lacking: BTreeSet<String> = names(&suite()).into_iter().filter(|case| !made.contains(case)).collect();
        let named: BTreeSet<String> = gaps.iter().flat_map(|gap| match gap {
            MergeError::Gap { cases, .. } => cases.clone(),
            _ => Vec::new(),
        }).collect();
        prop_assert_eq!(named, lacking);
    }
}
