//! A disk that is full in the middle of a run: what is on record stays whole, and the run goes on once there is room.

use std::process::Stdio;

use crate::env::{Ran, read_attempts};
use crate::namespace::in_namespace;
use crate::resume::{essence, mixed};

/// What is said of a run that could not go on.
fn stopped(ran: &Ran, reason: &str) {
    assert_eq!(ran.code, Some(96), "{ran:?}");
    for words in [
        reason,
        "cannot",
        "on record in",
        "go on with: placebench run --resume 2",
    ] {
        assert!(ran.stderr.contains(words), "`{words}` is missing in: {}", ran.stderr);
    }
}

#[test]
fn a_run_on_a_full_disk_can_be_resumed() {
    let env = mixed();
    assert_eq!(env.run(&["run", "suite", "--output-dir", "unbroken"]).code, Some(100));
    std::fs::create_dir_all(env.path("small")).unwrap();
    std::fs::create_dir_all(env.path("seen")).unwrap();
    // The disk is there as long as the shell that mounts it: so it looks at the folder in between.
    let script = r#"mount -t tmpfs -o size=64k tmpfs small || exit 77
        "$0" "$@"; echo "code $?"
        cp -r small/2* seen/full || exit 78
        mount -o remount,size=64m tmpfs small || exit 79
        "$0" run --resume latest --output-dir small > resumed.txt 2>&1; echo "code $?"
        cp -r small/2* seen/resumed"#;
    let Some(mut command) = in_namespace(&env, script, &["run", "suite", "--output-dir", "small", "--quiet"]) else {
        return;
    };
    let ran = Ran::of(command.output().unwrap());
    let codes: Vec<&str> = ran
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("code "))
        .collect();
    assert_eq!(codes, ["96", "100"], "{ran:?}");
    stopped(&Ran { code: Some(96), ..ran }, "No space left on device");
    // Every line of it can be read, and at least one attempt had found room.
    let kept = read_attempts(&env.path("seen/full"));
    assert!(!kept.is_empty());
    assert_eq!(
        essence(&env.path("seen/resumed")),
        essence(&env.path("unbroken/latest"))
    );
    let resumed = read_attempts(&env.path("seen/resumed"));
    assert_eq!(resumed[..kept.len()], kept[..], "what was on record was not made again");
}

/// Without a handler the signal of that limit ends a process without a word.
#[test]
fn a_limit_of_the_size_of_files_is_an_error_like_any_other() {
    let env = mixed();
    assert_eq!(env.run(&["run", "suite", "--output-dir", "unbroken"]).code, Some(100));
    let placebench = env.command(&["run", "suite", "--quiet"]);
    let mut limited = std::process::Command::new("sh");
    // In blocks of 512 bytes: room for run.json and for some attempts.
    limited
        .args(["-c", "ulimit -f 50 && exec \"$0\" \"$@\""])
        .arg(placebench.get_program())
        .args(placebench.get_args())
        .current_dir(env.path(""))
        .stdin(Stdio::null());
    let ran = Ran::of(limited.output().unwrap());
    stopped(&ran, "File too large");
    let kept = read_attempts(&env.latest());
    assert!(!kept.is_empty());
    let name = env.latest().file_name().unwrap().to_str().unwrap().to_owned();
    let ran = env.run(&["run", "--resume", &name]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    assert_eq!(essence(&env.latest()), essence(&env.path("unbroken/latest")));
    assert_eq!(read_attempts(&env.latest())[..kept.len()], kept[..]);
}
