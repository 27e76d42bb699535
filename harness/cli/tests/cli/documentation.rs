//! What the pages say is what the program does.

use std::path::{Path, PathBuf};

use crate::env::TestEnv;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

#[test]
fn the_reference_of_keys_is_current() {
    let printed = TestEnv::new().run(&["schema", "--markdown"]).stdout;
    assert!(
        page("scenarios/README.md").ends_with(&printed),
        "update scenarios/README.md from `placebench schema --markdown`"
    );
}

#[test]
fn the_example_scenarios_of_the_pages_are_well_formed() {
    for name in ["scenarios/README.md", "scenarios/incident/README.md", "README.md"] {
        let text = page(name);
        for (number, block) in text.split("```toml\n").skip(1).enumerate() {
            let env = TestEnv::new();
            env.write("suite/example.toml", block.split("```").next().unwrap());
            let ran = env.run(&["validate", "suite/example.toml"]);
            assert_eq!(ran.code, Some(0), "{name}, example {number}: {}", ran.stderr);
        }
    }
}

#[test]
fn the_shipped_suites_are_well_formed() {
    for suite in ["scenarios", "harness/workers/examples"] {
        let suite = root().join(suite);
        let ran = TestEnv::new().run(&["validate", suite.to_str().unwrap()]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
}

#[test]
fn help_of_all_commands_is_reviewed() {
    let env = TestEnv::new();
    let mut text = env.run(&["--help"]).stdout;
    for command in [
        "run",
        "list",
        "validate",
        "schema",
        "plan",
        "generate",
        "doctor",
        "engine-check",
        "bisect",
        "report",
        "compare",
        "merge",
        "review",
        "pending",
        "accept",
        "reject",
    ] {
        text.push_str(&format!("\n=== {command}\n{}", env.run(&[command, "--help"]).stdout));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn help_of_history_is_reviewed() {
    let env = TestEnv::new();
    let mut text = env.run(&["history", "--help"]).stdout;
    for command in ["import", "list", "trend", "prune", "rebuild"] {
        text.push_str(&format!(
            "\n=== {command}\n{}",
            env.run(&["history", command, "--help"]).stdout
        ));
    }
    insta::assert_snapshot!(text);
}
