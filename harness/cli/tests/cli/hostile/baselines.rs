//! A baseline that a stranger wrote.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::payloads::{MARK, PAYLOADS};
use super::{assert_terminal, readers};
use crate::env::TestEnv;

/// A suite with a baseline, and what the baseline's file held.
fn suite() -> (TestEnv, PathBuf, Value) {
    let env = TestEnv::new();
    env.scenario("s", "[placement.x]\ndevice_map = \"sim:0\"\n");
    let ran = env.run(&["run", "suite", "--save-baseline", "main"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let entry = std::fs::read_dir(env.path("ci/baselines/main"))
        .unwrap()
        .next()
        .unwrap();
    let path = entry.unwrap().path();
    let file = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    (env, path, file)
}

/// The file with `payload` wherever any text may be.
fn spoilt(mut file: Value, payload: &str) -> Value {
    let source = &mut file["sources"][0];
    for part in ["run_id", "started_at", "profile"] {
        source[part] = json!(payload);
    }
    source["tool"] = json!({"name": payload, "version": payload, "profile": payload});
    source["environment"]["kernel"] = json!(payload);
    source["cards"] = json!([{"index": 0, "name": payload, "driver": payload}]);
    source["devices"] = json!([["cuda:0", payload]]);
    let case = file["cases"]["s/p/x"].clone();
    file["cases"][payload] = case;
    let case = &mut file["cases"]["s/p/x"];
    case["asked"] = json!({payload: payload});
    case["plan"] = json!([["sim:1", [payload]]]);
    case["realised"] = json!([["sim:1", [payload, [payload, 0, 3]]]]);
    case["throttled"] = json!([payload]);
    file
}

/// Runs the suite against the baseline, and makes its report and comparison; the page.
fn hold(env: &TestEnv, code: i32, formats: &[&str]) -> String {
    let ran = env.run(&["run", "suite", "--baseline", "main"]);
    assert_eq!(ran.code, Some(code), "{ran:?}");
    assert_terminal(&ran);
    assert!(ran.stdout.contains(MARK), "{ran:?}");
    let page = std::fs::read_to_string(env.latest().join("report.html")).unwrap();
    assert!(page.contains(MARK));
    let ran = env.run(&["report", "--markdown"]);
    assert_terminal(&ran);
    readers::assert_markdown(&ran.stdout);
    assert!(ran.stdout.contains(MARK));
    for format in formats {
        let ran = env.run(&["compare", "baseline:main", "latest", "--format", format]);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert_terminal(&ran);
        assert!(ran.stdout.contains(MARK), "{ran:?}");
    }
    page
}

#[test]
fn a_baseline_of_a_stranger_is_shown_as_text() {
    let (env, path, file) = suite();
    let hold_all = |write: &dyn Fn(&str), code, formats: &[&str]| {
        write(&format!("{MARK} fine"));
        let benign = hold(&env, code, formats);
        for payload in PAYLOADS {
            write(payload);
            readers::assert_same_markup(&hold(&env, code, formats), &benign);
        }
    };
    let here = |payload: &str| std::fs::write(&path, spoilt(file.clone(), payload).to_string()).unwrap();
    hold_all(&here, 100, &["human", "json", "markdown"]);
    // The baseline of another machine.
    std::fs::remove_file(&path).unwrap();
    let elsewhere = |payload: &str| {
        let mut file = spoilt(file.clone(), payload);
        file["sources"][0]["environment"]["cpu"] = json!(payload);
        file["key"] = json!("elsewhere");
        env.write("ci/baselines/main/elsewhere.json", &file.to_string());
    };
    hold_all(&elsewhere, 112, &["human"]);
}
