//! The edges between the crates: one stack that executes models, one crate that knows it, one build of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::Command;

use serde_json::Value;

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(args)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Each package of the workspace with the packages it depends on outside of tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let text = cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let normal = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap().iter();
        all.filter(|dependency| dependency["kind"].is_null())
            .map(name)
            .collect()
    };
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.map(|package| (name(package), normal(package))).collect()
}

#[test]
fn only_engine_candle_depends_on_candle() {
    for (package, dependencies) in dependencies() {
        let is_heavy = |name: &&String| name.starts_with("candle") || *name == "tokenizers" || *name == "hf-hub";
        let heavy: Vec<&String> = dependencies.iter().filter(is_heavy).collect();
        assert_eq!(
            heavy.is_empty(),
            package != "placebench-engine-candle",
            "{package}: {heavy:?}"
        );
    }
}

#[test]
fn crates_know_only_what_is_below_them() {
    let allowed: HashMap<&str, &[&str]> = HashMap::from([
        ("placebench-core", [].as_slice()),
        ("placebench-runner", &["placebench-core"]),
        ("placebench-report", &["placebench-core"]),
        ("placebench-history", &["placebench-core", "placebench-runner"]),
        ("placebench-engine", &["placebench-core"]),
        ("placebench-engine-candle", &["placebench-core", "placebench-engine"]),
        ("placebench-engine-openai", &["placebench-core", "placebench-engine"]),
        (
            "placebench",
            &[
                "placebench-core",
                "placebench-engine",
                "placebench-engine-candle",
                "placebench-engine-openai",
                "placebench-history",
                "placebench-report",
                "placebench-runner",
            ],
        ),
    ]);
    for (package, dependencies) in dependencies() {
        let own = dependencies
            .iter()
            .map(String::as_str)
            .filter(|name| name.starts_with("placebench"));
        let known = allowed.get(package.as_str()).copied();
        let known = known.unwrap_or_else(|| panic!("{package} has no place in the architecture"));
        let strangers: Vec<&str> = own.filter(|name| !known.contains(name)).collect();
        assert!(strangers.is_empty(), "{package} depends on {strangers:?}");
    }
}

/// Packages of a build with their features.
fn features(args: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let mut all = vec!["tree", "--offline", "--locked", "--prefix", "none", "-f", "{p}|{f}"];
    all.extend(args);
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let text = cargo(&all);
    // Trees of several packages have empty lines between them.
    for (package, features) in text
        .lines()
        .filter_map(|line| line.trim_end_matches(" (*)").split_once('|'))
    {
        let features = features
            .split(',')
            .filter(|feature| !feature.is_empty())
            .map(str::to_owned);
        packages.entry(package.to_owned()).or_default().extend(features);
    }
    packages
}

/// Candle takes minutes to build. Any feature that only tests ask of a package below it would build it twice.
#[test]
fn one_build_of_candle_serves_running_and_testing() {
    let run = features(&["-p", "placebench", "-e", "normal,build"]);
    let test = features(&["--workspace", "-e", "normal,build,dev"]);
    let below = features(&["-p", "placebench-engine-candle", "-e", "normal,build"]);
    for (package, asked) in run.iter().filter(|(package, _)| below.contains_key(*package)) {
        assert_eq!(Some(asked), test.get(package), "{package}");
    }
}
