//! The tables of placements that a run ends with.

use crate::env::{Ran, TestEnv};
use crate::outcomes::PLACEMENTS;

/// The table of a prompt in what was printed: from its heading to the next empty line.
fn table<'a>(ran: &'a Ran, prompt: &str) -> Vec<&'a str> {
    let lines = ran.stdout.lines().skip_while(|line| *line != prompt).skip(1);
    lines.take_while(|line| !line.is_empty()).collect()
}

fn run(env: &TestEnv, args: &[&str], columns: &str, locale: &str) -> Ran {
    let args = [&["run", "suite"], args].concat();
    let mut command = env.command(&args);
    Ran::of(command.env("COLUMNS", columns).env("LANG", locale).output().unwrap())
}

#[test]
fn a_run_ends_with_its_placements_beside_each_other() {
    let env = TestEnv::new();
    env.scenario("s", PLACEMENTS);
    let ran = run(&env, &[], "200", "C.UTF-8");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let table = table(&ran, "s/p");
    let heading = table.iter().position(|line| line.starts_with("placement")).unwrap();
    for word in [
        "outcome",
        "text",
        "TTFT",
        "TPOT",
        "tokens/s",
        "peak memory",
        "TPOT vs single",
    ] {
        assert!(table[heading].contains(word), "{table:?}");
    }
    let [single, split] = table[heading + 1..] else {
        panic!("{table:?}")
    };
    assert!(
        single.starts_with("single     passed") && single.ends_with("reference"),
        "{single}"
    );
    assert!(split.contains(" ×, 1 pair"), "{split}");
    // Cells begin where their heading does.
    let column = table[heading].find("outcome").unwrap();
    assert!(single[column..].starts_with("passed") && split[column..].starts_with("passed"));
    assert!(ran.stdout.find("TPOT vs single").unwrap() < ran.stdout.find("2 cases:").unwrap());
}

#[test]
fn a_table_is_no_wider_than_the_terminal_and_ascii_where_the_locale_is() {
    let env = TestEnv::new();
    let long = "\n[placement.a-placement-whose-name-goes-on-for-sixty-characters-and-more-x]\ndevice_map = \"sim:1\"\n";
    env.scenario("s", &format!("{PLACEMENTS}{long}"));
    for (columns, locale) in [("60", "C"), ("80", "C.UTF-8"), ("80", "C"), ("200", "C")] {
        let ran = run(&env, &["--quiet"], columns, locale);
        assert!(table(&ran, "s/p").is_empty(), "--quiet shows failures only: {ran:?}");
        let ran = run(&env, &["--quiet", "--table", "all"], columns, locale);
        let table = table(&ran, "s/p");
        let rows: Vec<&&str> = table.iter().skip_while(|line| !line.starts_with("placement")).collect();
        assert_eq!(rows.len(), 4, "{table:?}");
        for line in rows {
            let width = console::measure_text_width(line);
            assert!(width <= columns.parse().unwrap(), "{columns}: {width}: {line}");
            assert!(locale == "C.UTF-8" || line.is_ascii(), "{line}");
        }
    }
}

#[test]
fn many_prompts_show_those_that_failed() {
    let env = TestEnv::new();
    for name in ["a", "b", "c", "d"] {
        env.scenario(name, PLACEMENTS);
    }
    let fault = "[[fault]]\nkind = \"garbage\"\nplacements = [\"split\"]\n";
    let agree = "[expect]\nagreement = { reference = \"single\", rule = \"exact\" }\n";
    env.scenario("e", &format!("{PLACEMENTS}{fault}{agree}"));
    let ran = run(&env, &[], "120", "C.UTF-8");
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let failed = table(&ran, "e/p");
    assert!(failed.iter().any(|line| line.contains("invalid: text")), "{failed:?}");
    assert!(table(&ran, "a/p").is_empty(), "{ran:?}");
    let all = run(&env, &["--table", "all"], "120", "C.UTF-8");
    assert!(!table(&all, "a/p").is_empty() && !table(&all, "e/p").is_empty());
    let none = run(&env, &["--table", "none"], "120", "C.UTF-8");
    assert!(table(&none, "e/p").is_empty(), "{none:?}");
}

#[test]
fn markdown_has_failures_first_then_placements_and_how_to_do_it_again() {
    let env = TestEnv::new();
    let fault = "[[fault]]\nkind = \"garbage\"\nplacements = [\"split\"]\n";
    let agree = "[expect]\nagreement = { reference = \"single\", rule = \"exact\" }\n";
    env.scenario("s", &format!("{PLACEMENTS}{fault}{agree}"));
    let ran = env.run(&["run", "suite"]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let text = env.run(&["report", "--format", "markdown"]).stdout;
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words} in {text}"));
    assert!(text.starts_with("**1 passed, 1 failed**"), "{text}");
    let failure = at("- **s/p/split** (suite/s.toml:");
    let table = at("| placement | outcome | text | TTFT | TPOT | tokens/s | peak memory | TPOT vs single |");
    assert!(
        failure < table && table < at("```sh\nplacebench run suite\n```"),
        "{text}"
    );
    assert!(text.contains("| split | failed | garbage | – | – | – |"), "{text}");
}
