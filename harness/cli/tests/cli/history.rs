//! The results of many runs: taken in once, listed, drawn, pruned, and made again.

use std::fs;

use serde_json::Value;

use crate::env::TestEnv;

/// A suite of one passing and one failing case.
fn env() -> TestEnv {
    let env = TestEnv::new();
    env.scenario(
        "s",
        "[placement.single]\ndevice_map = \"sim:0\"\n[placement.other]\ndevice_map = \"sim:1\"\n[placement.other.expect]\nmin_devices_used = 2\n[measure]\nwarmup = 0\nrepetitions = 2\n",
    );
    env
}

fn ok(env: &TestEnv, args: &[&str]) -> String {
    let ran = env.run(args);
    assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
    ran.stdout
}

fn json(env: &TestEnv, args: &[&str]) -> Value {
    serde_json::from_str(&ok(env, args)).unwrap()
}

#[test]
fn runs_are_taken_in_once_and_listed() {
    let env = env();
    for _ in 0..2 {
        assert_eq!(env.run(&["run", "suite"]).code, Some(100));
    }
    let none = env.run(&["history", "list"]);
    assert!(
        none.code == Some(96) && none.stderr.contains("history import"),
        "{none:?}"
    );
    let first = ok(&env, &["history", "import"]);
    assert_eq!(
        first.trim_end(),
        "imported 2 runs with 8 attempts into reports/history.sqlite"
    );
    let again = ok(&env, &["history", "import"]);
    assert_eq!(
        again.trim_end(),
        "imported 0 runs with 0 attempts, 2 already there into reports/history.sqlite"
    );
    let listed = json(&env, &["history", "list", "--format", "json"]);
    let runs = listed["runs"].as_array().unwrap();
    assert_eq!((listed["schema_version"].as_u64(), runs.len()), (Some(1), 2));
    assert_eq!(
        (runs[0]["cases"].as_u64(), runs[0]["failed"].as_u64()),
        (Some(2), Some(1))
    );
    assert_eq!(runs[0]["exit"], "case_failed");
    let human = ok(&env, &["history", "list", "--case", "s/*/single", "--since", "1h"]);
    assert!(human.contains("exit 100") && human.ends_with("2 runs\n"), "{human}");
    assert_eq!(ok(&env, &["history", "list", "--since", "2999-01-01"]), "0 runs\n");
    assert_eq!(env.run(&["history", "list", "--since", "yesterday"]).code, Some(2));
}

#[test]
fn a_trend_is_printed_written_and_drawn() {
    let env = env();
    for _ in 0..2 {
        env.run(&["run", "suite"]);
    }
    ok(&env, &["history", "import"]);
    let human = ok(
        &env,
        &["history", "trend", "--metric", "tpot_s", "-E", "placement(single)"],
    );
    assert!(
        human.contains("s/p/single") && human.contains("tpot_s") && !human.contains("s/p/other"),
        "{human}"
    );
    let whole = ok(&env, &["history", "trend"]);
    assert!(
        whole.starts_with("1 case not as expected") && whole.contains("s/p/other: failed since"),
        "{whole}"
    );
    let trend = json(&env, &["history", "trend", "--format", "json", "--metric", "all"]);
    let figures = trend["figures"].as_array().unwrap();
    assert!(
        figures.len() > 10
            && figures
                .iter()
                .all(|series| series["points"].as_array().unwrap().len() == 2)
    );
    let hops = figures
        .iter()
        .find(|series| series["figure"]["metric"] == "hops_per_token")
        .unwrap();
    assert_eq!(hops["is_counted"], true);
    assert_eq!(
        ok(&env, &["history", "trend", "--format", "html"]),
        "reports/trend.html\n"
    );
    let page = fs::read_to_string(env.path("reports/trend.html")).unwrap();
    assert!(page.contains("s/p/single") && page.contains("<svg"));
    for (bad, code) in [
        (&["--metric", "speed"][..], 2),
        (&["-E", "nam(x)"], 94),
        (&["--machine", "h200"], 96),
        (&["--output", "x.html"], 2),
        (&["--last", "0"], 2),
        (&["--min-change", "-1"], 2),
    ] {
        let mut args = vec!["history", "trend"];
        args.extend(bad);
        let ran = env.run(&args);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(!ran.stderr.is_empty());
    }
}

#[test]
fn damage_is_named_and_stops_nothing_else() {
    let env = env();
    env.run(&["run", "suite"]);
    let first = env.latest();
    env.run(&["run", "suite"]);
    fs::write(first.join("attempts.jsonl"), "no json\n").unwrap();
    let ran = env.run(&["history", "import"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(
        ran.stdout.contains("imported 1 run with 4 attempts, 1 failed"),
        "{ran:?}"
    );
    assert!(
        ran.stderr.contains(first.file_name().unwrap().to_str().unwrap()),
        "{ran:?}"
    );
    fs::write(env.path("reports/history.sqlite"), "damaged").unwrap();
    let ran = env.run(&["history", "list"]);
    assert!(
        ran.code == Some(96) && ran.stderr.contains("history rebuild"),
        "{ran:?}"
    );
    fs::remove_dir_all(&first).unwrap();
    let ran = env.run(&["history", "rebuild"]);
    assert!(ran.code == Some(0) && ran.stdout.contains("from 1 run"), "{ran:?}");
    assert!(env.path("reports/history.sqlite.damaged").is_file());
    assert!(ok(&env, &["history", "list"]).ends_with("1 run\n"));
}

#[test]
fn nothing_is_removed_unasked() {
    let env = env();
    let folders: Vec<_> = (0..4)
        .map(|_| {
            env.run(&["run", "suite"]);
            env.latest()
        })
        .collect();
    ok(&env, &["history", "import"]);
    // Runs of one second are ordered by their names only.
    let listed = json(&env, &["history", "list", "--format", "json"]);
    let order: Vec<String> = listed["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["run_id"].as_str().unwrap().to_owned())
        .collect();
    env.write("ci/baselines/main/x.json", &format!("{{\"run_id\": \"{}\"}}", order[1]));
    let dry = env.run(&["history", "prune", "--keep-last", "1", "--runs"]);
    assert!(
        dry.stdout.contains("would remove 2 runs") && dry.stderr.contains("--yes"),
        "{dry:?}"
    );
    assert!(folders.iter().all(|folder| folder.is_dir()));
    let done = ok(&env, &["history", "prune", "--keep-last", "1", "--runs", "--yes"]);
    assert!(
        done.contains(&format!("kept {}: a baseline was made from it", order[1])),
        "{done}"
    );
    let is_left = |run: &String| env.path("reports").join(run).is_dir();
    assert_eq!(
        order.iter().map(is_left).collect::<Vec<_>>(),
        [false, true, false, true]
    );
    assert!(ok(&env, &["history", "list"]).ends_with("2 runs\n"));
    assert_eq!(env.run(&["history", "prune"]).code, Some(2));
    assert_eq!(env.run(&["history", "prune", "--older-than", "long"]).code, Some(2));
    assert!(ok(&env, &["history", "prune", "--older-than", "90d"]).contains("would remove 0 runs"));
}
