//! The edges between the crates: one stack that executes models, and one crate that knows it.

use std::collections::{BTreeSet, HashMap};

use cargo_metadata::MetadataCommand;

fn dependencies() -> HashMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new()
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .unwrap();
    let normal = |package: &cargo_metadata::Package| {
        let own = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == cargo_metadata::DependencyKind::Normal);
        own.map(|dependency| dependency.name.clone()).collect()
    };
    metadata
        .packages
        .iter()
        .map(|package| (package.name.to_string(), normal(package)))
        .collect()
}

#[test]
fn only_engine_candle_depends_on_candle() {
    for (package, dependencies) in dependencies() {
        let heavy: Vec<&String> = dependencies
            .iter()
            .filter(|name| name.starts_with("candle") || *name == "tokenizers" || *name == "hf-hub")
            .collect();
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
        ("placebench-engine", &["placebench-core"]),
        ("placebench-engine-candle", &["placebench-core", "placebench-engine"]),
        (
            "placebench",
            &[
                "placebench-core",
                "placebench-engine",
                "placebench-engine-candle",
                "placebench-report",
                "placebench-runner",
            ],
        ),
    ]);
    for (package, dependencies) in dependencies() {
        let own: Vec<&str> = dependencies
            .iter()
            .map(String::as_str)
            .filter(|name| name.starts_with("placebench"))
            .collect();
        let allowed = allowed
            .get(package.as_str())
            .unwrap_or_else(|| panic!("{package} has no place in the architecture"));
        assert!(
            own.iter().all(|name| allowed.contains(name)),
            "{package} depends on {own:?}"
        );
    }
}
