//! A baseline that a stranger wrote.

use serde_json::{Value, json};

use super::payloads::{MARK, PAYLOADS};
use super::{assert_terminal, readers};
use crate::env::TestEnv;

/// A suite, and a baseline of it in which everything that may be any text is `payload`. Its machine is this one, or another.
fn suite(payload: &str, is_here: bool) -> TestEnv {
    let env = TestEnv::new();
    env.scenario("s", "[placement.x]\ndevice_map = \"sim:0\"\n");
    let ran = env.run(&["run", "suite", "--save-baseline", "main"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let entry = std::fs::read_dir(env.path("ci/baselines/main"))
        .unwrap()
        .next()
        .unwrap();
    let path = entry.unwrap().path();
    let mut file: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
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
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let name = match is_here {
        true => name,
        false => {
            std::fs::remove_file(&path).unwrap();
            file["sources"][0]["environment"]["cpu"] = json!(payload);
            file["key"] = json!("elsewhere");
            "elsewhere.json".to_owned()
        }
    };
    env.write(&format!("ci/baselines/main/{name}"), &file.to_string());
    env
}

#[test]
fn a_baseline_of_a_stranger_is_shown_as_text() {
    for is_here in [true, false] {
        let benign = suite(&format!("{MARK} fine"), is_here);
        let code = if is_here { 100 } else { 112 };
        assert_eq!(benign.run(&["run", "suite", "--baseline", "main"]).code, Some(code));
        let benign = std::fs::read_to_string(benign.latest().join("report.html")).unwrap();
        for payload in PAYLOADS {
            let env = suite(payload, is_here);
            let ran = env.run(&["run", "suite", "--baseline", "main"]);
            assert_eq!(ran.code, Some(code), "{payload:?}: {ran:?}");
            assert_terminal(&ran);
            assert!(ran.stdout.contains(MARK), "{ran:?}");
            let page = std::fs::read_to_string(env.latest().join("report.html")).unwrap();
            readers::assert_same_markup(&page, &benign);
            assert!(page.contains(MARK));
            let ran = env.run(&["report", "--markdown"]);
            assert_terminal(&ran);
            readers::assert_markdown(&ran.stdout);
            assert!(ran.stdout.contains(MARK));
            for format in ["human", "json", "markdown"] {
                let ran = env.run(&["compare", "baseline:main", "latest", "--format", format]);
                assert_eq!(ran.code, Some(code), "{payload:?}: {ran:?}");
                assert_terminal(&ran);
                assert!(ran.stdout.contains(MARK), "{ran:?}");
            }
        }
    }
}
