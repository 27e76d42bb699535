//! The language, what it selects, and how cases are dealt out.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::testing::cases_of;
use super::*;

const MODEL: &str = "[model]\npath = \"models/tiny\"\n[[prompt]]\nname = \"story\"\ntext = \"Once\"\n[[prompt]]\nname = \"queen\"\ntext = \"The Queen\"\n";

fn suite() -> Vec<CaseSpec> {
    let agree = "[expect]\nagreement = { reference = \"single\" }\n";
    let smoke = format!(
        "tags = [\"smoke\", \"cpu-only\"]\n{MODEL}[devices]\n\"sim:0\" = {{ on = \"cpu\", memory = \"1MiB\" }}\n\"sim:1\" = {{ on = \"cpu\" }}\n\
         [placement.single]\ndevice_map = \"sim:0\"\n[placement.auto]\ndevice_map = \"auto\"\n\
         [placement.manual]\ndevice_map = {{ \"model\" = \"sim:0\", \"lm_head\" = \"disk\" }}\n{agree}"
    );
    let gpu = format!(
        "tags = [\"gpu\"]\n{MODEL}[requires]\ncuda = 2\n[placement.auto]\ndevice_map = \"auto\"\n[placement.two]\ndevice_map = \"auto\"\nmax_memory = {{ 1 = \"1GiB\" }}\n"
    );
    let mut cases = cases_of("smoke/tiny", &smoke);
    cases.extend(cases_of("gpu/pair", &gpu));
    cases
}

/// Names of the cases an expression selects by itself.
fn chosen(expression: &str) -> Vec<String> {
    let filterset = parse(expression).unwrap_or_else(|problem| panic!("{expression}: {problem:?}"));
    let cases = suite();
    let chosen = cases.iter().filter(|case| filterset.selects(case));
    chosen.map(|case| case.case.clone()).collect()
}

#[test]
fn expressions_select_cases() {
    let all = suite().len();
    assert_eq!(all, 10);
    for (expression, expected) in [
        ("all()", all),
        ("none()", 0),
        ("name(tiny)", 6),
        ("name(=smoke/tiny/story/auto)", 1),
        ("name(=tiny)", 0),
        ("name(#*/story/*)", 5),
        ("name(/^gpu.*two$/)", 2),
        ("scenario(smoke/*)", 6),
        ("scenario(tiny)", 0),
        ("scenario(~tiny)", 6),
        ("prompt(queen)", 5),
        ("placement({auto,two})", 6),
        ("tag(smoke)", 6),
        ("tag(smok)", 0),
        ("tag(cpu*)", 6),
        ("engine(mock)", 10),
        ("model(tin)", 10),
        ("device(sim:1)", 2),
        ("device(cpu)", 6),
        ("device(disk)", 2),
        ("device(cuda:0)", 2),
        ("device(cuda:1)", 4),
        ("device(cuda:*)", 4),
        ("tag(smoke) and placement(auto)", 2),
        ("tag(smoke)&placement(auto)", 2),
        ("tag(smoke) - placement(auto)", 4),
        ("tag(smoke) - placement(auto) & prompt(story)", 2),
        ("tag(gpu) or placement(single)", 6),
        ("tag(gpu)|placement(single)", 6),
        ("tag(gpu) + placement(single)", 6),
        // `and` before `or`.
        ("placement(single) or placement(auto) and tag(gpu)", 4),
        ("(placement(single) or placement(auto)) and tag(gpu)", 2),
        ("not tag(gpu)", 6),
        ("!tag(gpu)", 6),
        ("not not tag(gpu)", 4),
        ("not (tag(gpu) or placement(auto))", 4),
        ("  not(tag(gpu))  ", 6),
        ("tag( = smoke )", 6),
    ] {
        assert_eq!(chosen(expression).len(), expected, "{expression}");
    }
}

fn shown(expression: &str) -> String {
    let problem = parse(expression).expect_err(expression);
    let span = problem.span.clone().expect(expression);
    let hint = problem.hint.as_deref().unwrap_or("-");
    format!(
        "{expression}\n    at {span:?} {:?}: {} [{hint}]",
        &expression[span.clone()],
        problem.message
    )
}

#[test]
fn mistakes_have_a_place_and_a_way_out() {
    let lines: Vec<String> = [
        "",
        "   ",
        "smoke",
        "smoke-2 and tag(x)",
        "nam(x)",
        "zzzzz(x)",
        "tag()",
        "tag(  )",
        "tag(=)",
        "tag(x",
        "tag(x) and",
        "tag(x) tag(y)",
        "tag(x) && tag(y)",
        "tag(x) || tag(y)",
        "(tag(x)",
        "(tag(x) tag(y)",
        "tag(x))",
        "tag(a, b)",
        "tag(a(b))",
        "tag(a\\q)",
        "tag(\\u{110000})",
        "tag(\\u{+41})",
        "name(/a(/)",
        "name(/a",
        "name(/a/ b)",
        "tag(#[a)",
        "all(x)",
        "and tag(x)",
        "tag(x) or or tag(y)",
        "!",
        "日本(x)",
    ]
    .into_iter()
    .map(shown)
    .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn nesting_has_a_limit_and_length_has_none() {
    let nested = |depth: usize| format!("{}tag(x){}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(90)).is_ok());
    assert!(
        parse(&nested(100_000))
            .unwrap_err()
            .message
            .contains("nested too deeply")
    );
    assert!(parse(&"not ".repeat(100_000)).is_err());
    let long = parse(&vec!["name(=x)"; 50_000].join(" or ")).unwrap();
    assert!(!long.selects(&suite()[0]));
    assert_eq!(parse(&long.to_string()).unwrap(), long);
}

#[test]
fn reference_placements_come_along() {
    let selected = select(suite(), &parse("placement(auto) and prompt(story)").unwrap());
    let names: Vec<&str> = selected.cases.iter().map(|case| case.case.as_str()).collect();
    assert_eq!(
        names,
        [
            "smoke/tiny/story/single",
            "smoke/tiny/story/auto",
            "gpu/pair/story/auto"
        ]
    );
    assert_eq!(selected.references, ["smoke/tiny/story/single"]);
    let everything = select(suite(), &Filterset::All);
    assert_eq!((everything.cases.len(), everything.references.len()), (10, 0));
}

#[test]
fn predicates_without_effect_are_told_with_what_they_may_have_meant() {
    let filterset = parse("not tag(smoek) and (device(sim:0) or engine(zzz))").unwrap();
    let told: Vec<(String, Option<String>)> = filterset
        .without_effect(&suite())
        .into_iter()
        .map(|(predicate, near)| (predicate.to_string(), near))
        .collect();
    assert_eq!(
        told,
        [
            ("tag(#smoek)".to_owned(), Some("smoke".to_owned())),
            ("engine(#zzz)".to_owned(), None)
        ]
    );
}

/// Scenarios with a number of prompts and placements each, one of them perhaps with companions.
fn many(shape: &[(usize, usize, bool)]) -> Vec<CaseSpec> {
    let template = suite().remove(0);
    let mut cases = Vec::new();
    for (s, &(prompts, placements, companions)) in shape.iter().enumerate() {
        for p in 0..prompts {
            for l in 0..placements {
                let companion_inputs = if companions && l == 0 {
                    vec![template.input.clone()]
                } else {
                    Vec::new()
                };
                cases.push(CaseSpec {
                    case: format!("s{s}/p{p}/l{l}"),
                    scenario: format!("s{s}"),
                    prompt: format!("p{p}"),
                    placement: format!("l{l}"),
                    companion_inputs,
                    ..template.clone()
                });
            }
        }
    }
    cases
}

#[test]
fn partitions_are_written_as_they_are_read() {
    for text in ["slice:1/1", "slice:3/4", "hash:4/4"] {
        assert_eq!(
            text.parse::<Partition>().map(|partition| partition.to_string()),
            Ok(text.to_owned())
        );
    }
    for text in [
        "",
        "slice",
        "slice:1",
        "count:1/2",
        "slice:0/2",
        "slice:3/2",
        "hash:1/0",
        "hash:+1/2",
        "hash:1/2/3",
        "slice: 1/2",
    ] {
        assert!(text.parse::<Partition>().is_err(), "{text}");
    }
    let partition: Partition = "hash:2/3".parse().unwrap();
    assert_eq!(serde_json::to_string(&partition).unwrap(), "\"hash:2/3\"");
    assert_eq!(serde_json::from_str::<Partition>("\"hash:2/3\"").unwrap(), partition);
    assert!(serde_json::from_str::<Partition>("\"hash:4/3\"").is_err());
}

/// Shards of the next release must be those of this one: a merge holds runs of several machines against each other.
#[test]
fn shards_never_change() {
    let cases = many(&[(3, 2, false), (2, 1, true), (4, 1, false)]);
    let shards = |kind: &str| -> Vec<String> {
        (1..=3)
            .map(|index| {
                let partition: Partition = format!("{kind}:{index}/3").parse().unwrap();
                let taken = partition.takes(&cases);
                let names = cases
                    .iter()
                    .zip(taken)
                    .filter(|(_, taken)| *taken)
                    .map(|(case, _)| case.case.as_str());
                names.collect::<Vec<_>>().join(" ")
            })
            .collect()
    };
    insta::assert_debug_snapshot!((shards("slice"), shards("hash")));
}

#[test]
fn hashes_spread_groups_evenly() {
    let cases = many(&[(4000, 1, false)]);
    for count in [2_u32, 3, 7, 16] {
        let expected = 4000.0 / f64::from(count);
        for index in 1..=count {
            let partition = Partition {
                kind: PartitionKind::Hash,
                index,
                count,
            };
            let taken = partition.takes(&cases).into_iter().filter(|taken| *taken).count() as f64;
            // Five standard deviations of a fair draw.
            let allowed = 5.0 * (expected * (1.0 - 1.0 / f64::from(count))).sqrt();
            assert!((taken - expected).abs() < allowed, "{partition}: {taken} of {expected}");
        }
    }
}

fn kinds() -> impl Strategy<Value = MatcherKind> {
    prop_oneof![
        Just(MatcherKind::Equal),
        Just(MatcherKind::Contains),
        Just(MatcherKind::Glob),
        Just(MatcherKind::Regex)
    ]
}

fn predicates() -> impl Strategy<Value = Filterset> {
    let text = prop_oneof![
        "[a-z:/*.]{1,6}",
        "[ a-z()\\\\,/={}\\[\\]~#\n\t\u{85}é日-]{1,8}",
        any::<String>()
    ];
    (prop::sample::select(Field::ALL.to_vec()), kinds(), text).prop_filter_map("a pattern", |(field, kind, text)| {
        let matcher = NameMatcher::new(kind, &text).ok().filter(|_| !text.is_empty())?;
        Some(Filterset::Predicate(Predicate { field, matcher }))
    })
}

fn filtersets() -> impl Strategy<Value = Filterset> {
    let leaf = prop_oneof![1 => Just(Filterset::All), 1 => Just(Filterset::None), 6 => predicates()];
    leaf.prop_recursive(6, 40, 4, |inner| {
        let narrowing = prop_oneof![Just(Narrowing::And), Just(Narrowing::Except)];
        prop_oneof![
            inner.clone().prop_map(|operand| Filterset::Not(Box::new(operand))),
            (inner.clone(), prop::collection::vec((narrowing, inner.clone()), 1..4))
                .prop_map(|(first, rest)| Filterset::Narrowed(Box::new(first), rest)),
            prop::collection::vec(inner, 2..4).prop_map(Filterset::Any),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(filterset in filtersets()) {
        let printed = filterset.to_string();
        let read = parse(&printed).map_err(|problem| TestCaseError::fail(format!("{printed}: {problem:?}")))?;
        prop_assert_eq!(&read, &filterset, "{}", printed);
        prop_assert_eq!(read.to_string(), printed);
    }

    #[test]
    fn no_text_panics_and_every_problem_has_its_place(
        text in prop_oneof![any::<String>(), "[a-z()&|!+/\\\\~=#,{}\\[\\]\" -]{0,40}", "((not|and|or|tag|name|\\(|\\)|=|x| ){1}){0,20}"]
    ) {
        if let Err(problem) = parse(&text) {
            let span = problem.span.expect("every problem of a filter has a place");
            prop_assert!(text.get(span.clone()).is_some(), "{:?} is no part of {:?}", span, text);
        }
    }

    #[test]
    fn logic_holds(left in filtersets(), right in filtersets()) {
        for case in suite() {
            let (a, b) = (left.selects(&case), right.selects(&case));
            let joined = |word: &str| parse(&format!("({left}) {word} ({right})")).unwrap().selects(&case);
            prop_assert_eq!(joined("and"), a && b);
            prop_assert_eq!(joined("-"), a && !b);
            prop_assert_eq!(joined("or"), a || b);
            prop_assert_eq!(Filterset::Not(Box::new(left.clone())).selects(&case), !a);
        }
    }

    #[test]
    fn shards_are_disjoint_complete_and_split_no_group(
        shape in prop::collection::vec((1_usize..4, 1_usize..4, any::<bool>()), 1..8), count in 1_u32..6, slice: bool
    ) {
        let cases = many(&shape);
        let kind = if slice { PartitionKind::Slice } else { PartitionKind::Hash };
        let shards: Vec<Vec<bool>> = (1..=count).map(|index| Partition { kind, index, count }.takes(&cases)).collect();
        for case in 0..cases.len() {
            prop_assert_eq!(shards.iter().filter(|taken| taken[case]).count(), 1);
        }
        let mut home: BTreeMap<String, usize> = BTreeMap::new();
        for (case, group) in groups_of(&cases).into_iter().enumerate() {
            let shard = shards.iter().position(|taken| taken[case]).unwrap();
            prop_assert_eq!(*home.entry(group).or_insert(shard), shard);
        }
        for (one, case) in cases.iter().enumerate() {
            for (other, sibling) in cases.iter().enumerate() {
                if case.scenario == sibling.scenario && case.prompt == sibling.prompt {
                    prop_assert!(shards.iter().all(|taken| taken[one] == taken[other]));
                }
            }
        }
        if slice {
            let groups = |taken: &Vec<bool>| {
                let names: std::collections::BTreeSet<String> =
                    groups_of(&cases).into_iter().zip(taken).filter(|(_, taken)| **taken).map(|(group, _)| group).collect();
                names.len()
            };
            let sizes: Vec<usize> = shards.iter().map(groups).collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn a_hashed_group_stays_when_others_go(shape in prop::collection::vec((1_usize..4, 1_usize..3, Just(false)), 2..6), count in 1_u32..6, gone in any::<prop::sample::Index>()) {
        let cases = many(&shape);
        let gone = format!("s{}", gone.index(shape.len()));
        let rest: Vec<CaseSpec> = cases.iter().filter(|case| case.scenario != gone).cloned().collect();
        for index in 1..=count {
            let partition = Partition { kind: PartitionKind::Hash, index, count };
            let before = cases.iter().zip(partition.takes(&cases)).filter(|(case, _)| case.scenario != gone);
            let before: Vec<bool> = before.map(|(_, taken)| taken).collect();
            prop_assert_eq!(before, partition.takes(&rest));
        }
    }
}
