//! Paths of a suite and of a run stay in their folders, whatever links a stranger has put there.

use std::os::unix::fs::symlink;

use crate::env::TestEnv;

const PLACEMENT: &str = "[placement.single]\ndevice_map = \"sim:0\"\n";
/// What must not be quoted anywhere.
const SECRET: &str = "secret = \"of the machine\"";

/// A suite with one scenario, and a file outside of it.
fn suite(rest: &str) -> TestEnv {
    let env = TestEnv::new();
    env.scenario("x", &format!("{PLACEMENT}{rest}"));
    env.write("outside/secret.toml", SECRET);
    env
}

/// The run is refused with exit code 96 and these words, and quotes nothing from outside.
fn assert_refused(env: &TestEnv, words: &str) {
    for command in ["validate", "run", "list"] {
        let ran = env.run(&[command, "suite"]);
        assert_eq!(ran.code, Some(96), "{command}: {ran:?}");
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
        assert!(
            !ran.stderr.contains("of the machine") && !ran.stdout.contains("of the machine"),
            "{ran:?}"
        );
    }
    assert!(!env.path("reports").exists(), "nothing was run");
}

fn assert_passes(env: &TestEnv) {
    let ran = env.run(&["run", "suite"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn texts_of_a_suite_are_inside_it() {
    for (path, words) in [
        ("../outside/secret.toml", "leaves the suite's folder"),
        ("sub/../../outside/secret.toml", "leaves the suite's folder"),
        ("/etc/passwd", "is an absolute path"),
        ("link.txt", "a link that leads out of its suite"),
        ("folder/secret.toml", "a link that leads out of its suite"),
    ] {
        for table in ["[[prompt]]\nname = \"q\"\nfile = ", "[rates]\nfile = "] {
            let env = suite(&format!("{table}\"{path}\"\n"));
            symlink(env.path("outside/secret.toml"), env.path("suite/link.txt")).unwrap();
            symlink(env.path("outside"), env.path("suite/folder")).unwrap();
            // The link to a folder would otherwise be what is complained about.
            if !path.starts_with("folder") {
                std::fs::remove_file(env.path("suite/folder")).unwrap();
                assert_refused(&env, words);
            } else {
                let ran = env.run(&["run", "suite/x.toml"]);
                assert!(ran.code == Some(96) && ran.stderr.contains(words), "{ran:?}");
            }
        }
    }
    let env = suite(
        "[[prompt]]\nname = \"q\"\nfile = \"sub/../real/text.txt\"\n[[prompt]]\nname = \"r\"\nfile = \"link.txt\"\n",
    );
    env.write("suite/real/text.txt", "inside");
    symlink("real/text.txt", env.path("suite/link.txt")).unwrap();
    assert_passes(&env);
}

#[test]
fn models_may_be_elsewhere_if_their_path_says_so() {
    let env = suite("");
    let text = std::fs::read_to_string(env.path("suite/x.toml")).unwrap();
    let with = |path: &str| env.write("suite/x.toml", &text.replace("models/m", path));
    with("../outside/m");
    assert_refused(&env, "leaves the suite's folder");
    env.write("outside/m/config.json", "{\"num_hidden_layers\": 8}");
    with(env.path("outside/m").to_str().unwrap());
    assert_passes(&env);
    // Weights are large: a link to where they are kept is followed.
    symlink(env.path("outside/m"), env.path("suite/models/linked")).unwrap();
    with("models/linked");
    assert_passes(&env);
}

#[test]
fn a_folder_of_scenarios_has_no_links_out_of_it() {
    for link in ["suite/other.toml", "suite/sub/other.toml"] {
        let env = suite("");
        env.write("suite/sub/readme.txt", "");
        symlink(env.path("outside/secret.toml"), env.path(link)).unwrap();
        assert_refused(&env, "is a link that leads out of its suite");
    }
    let env = suite("");
    symlink(env.path("outside"), env.path("suite/more")).unwrap();
    assert_refused(&env, "is a link that leads out of its suite");
    // Links inside lead to what is found anyway, also in circles.
    let env = suite("");
    symlink("x.toml", env.path("suite/same.toml")).unwrap();
    symlink(".", env.path("suite/circle")).unwrap();
    assert_passes(&env);
    assert_eq!(env.verdict().cases.len(), 1, "one scenario under two names is one");
}

#[test]
fn defaults_are_read_from_the_suite_or_not_at_all() {
    let env = suite("");
    std::fs::remove_file(env.path("suite/defaults.toml")).unwrap();
    symlink(env.path("outside/secret.toml"), env.path("suite/defaults.toml")).unwrap();
    assert_refused(&env, "a link that leads out of its suite");
    // Defaults that cannot be read are not the same as none: without them the engine would be another one.
    let env = suite("");
    std::fs::write(env.path("suite/defaults.toml"), b"schema_version = 1\n# \xff\n").unwrap();
    assert_refused(&env, "UTF-8");
}

#[test]
fn snapshots_are_not_written_through_links() {
    let env = suite("[expect]\nsnapshot = true\n");
    symlink(env.path("outside"), env.path("suite/snapshots")).unwrap();
    let ran = env.run(&["run", "suite"]);
    assert!(
        ran.stderr.contains("symbolic link") || ran.stdout.contains("symbolic link"),
        "{ran:?}"
    );
    assert_ne!(ran.code, Some(0), "a text nobody approved does not pass");
    assert_eq!(std::fs::read_dir(env.path("outside")).unwrap().count(), 1);
}

#[test]
fn runs_go_on_in_their_own_folder_only() {
    let env = suite("");
    assert_passes(&env);
    let run = env.latest().file_name().unwrap().to_str().unwrap().to_owned();
    std::fs::create_dir(env.path("other")).unwrap();
    let ran = env.run(&["run", "--resume", &format!("../reports/{run}"), "--output-dir", "other"]);
    assert_eq!(ran.code, Some(96), "a way out of the folder is no id: {ran:?}");
    assert_eq!(env.run(&["run", "--resume", &run]).code, Some(0));
    assert_eq!(
        env.run(&["run", "--resume", &format!("reports/{run}")]).code,
        Some(0),
        "a path is one"
    );
    // A folder from elsewhere, with links where files are written.
    std::fs::remove_dir_all(env.latest().join("plots")).unwrap();
    symlink(env.path("outside"), env.latest().join("plots")).unwrap();
    let ran = env.run(&["report", "reports/latest"]);
    assert!(ran.code == Some(96) && ran.stderr.contains("symbolic link"), "{ran:?}");
    env.write("victim", "mine");
    std::fs::remove_file(env.latest().join("attempts.jsonl")).unwrap();
    symlink(env.path("victim"), env.latest().join("attempts.jsonl")).unwrap();
    let ran = env.run(&["run", "--resume", &run]);
    assert!(ran.code == Some(96), "{ran:?}");
    std::fs::remove_file(env.latest().join("attempts.jsonl")).unwrap();
    assert_eq!(std::fs::read_to_string(env.path("victim")).unwrap(), "mine");
    assert_eq!(std::fs::read_dir(env.path("outside")).unwrap().count(), 1);
}
