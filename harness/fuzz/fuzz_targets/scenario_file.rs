//! A scenario file, its suite's defaults and a file it refers to, separated by zero bytes: parse, resolve, expand,
//! schedule. Every problem has a place inside its text, and every case can be stored.
#![no_main]

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use placebench_core::record::CaseSpec;
use placebench_core::scenario::Problem;
use placebench_core::scenario::expand::expand;
use placebench_core::scenario::parse::{parse, parse_defaults};
use placebench_core::scenario::resolve::{Origin, check_defaults, resolve};
use placebench_runner::schedule::schedule;
use placebench_runner::slug::slug;

fn check(problems: &[Problem], text: &str) {
    for problem in problems {
        assert!(!problem.message.is_empty());
        if let Some(span) = &problem.span {
            assert!(span.start <= span.end && span.end <= text.len(), "{problem:?}");
            assert!(text.get(span.clone()).is_some(), "{problem:?} cuts a character");
            assert!(problem.position(text).is_some(), "{problem:?}");
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.splitn(3, '\0');
    let text = parts.next().unwrap_or_default();
    let defaults_text = parts.next().unwrap_or_default();
    let other = parts.next();
    let (file, problems) = parse(text);
    check(&problems, text);
    let (defaults, wrong) = parse_defaults(defaults_text);
    check(&wrong, defaults_text);
    check(&check_defaults(&defaults).err().unwrap_or_default(), defaults_text);
    let origin = Origin {
        name: "suite/file".into(),
        file: "scenarios/suite/file.toml".into(),
        folder: PathBuf::from("/scenarios/suite"),
        suite: PathBuf::from("/scenarios"),
    };
    let read_text = |path: &Path| {
        assert!(path.is_absolute());
        other.map(str::to_owned).ok_or_else(|| "no such file".to_owned())
    };
    match resolve(&file, &defaults, text, origin, &read_text) {
        Err(problems) => {
            assert!(!problems.is_empty());
            check(&problems, text);
        }
        // What is wrong with the defaults ends a run before its scenarios are expanded.
        Ok(_) if !problems.is_empty() || !wrong.is_empty() || check_defaults(&defaults).is_err() => {}
        Ok(scenario) => {
            let cases = expand(&scenario, "/scenarios/snapshots");
            assert!(!cases.is_empty());
            let names: HashSet<&str> = cases.iter().map(|case| case.case.as_str()).collect();
            assert_eq!(names.len(), cases.len(), "two cases of one name");
            let stored = serde_json::to_vec(&cases).expect("cases can be stored");
            let read: Vec<CaseSpec> = serde_json::from_slice(&stored).expect("what is stored can be read");
            assert_eq!(read, cases);
            for case in &cases {
                assert!(!case.case.contains(char::is_control) && !slug(&case.case).contains('/'));
            }
            assert!(schedule(&cases, 7).len() >= cases.len());
        }
    }
});
