//! Disks of a test's own: mounted in a namespace that ends with the test.

use std::process::{Command, Stdio};

use crate::env::TestEnv;

#[expect(
    clippy::print_stderr,
    reason = "who reads the output of tests sees what was not tried"
)]
fn not_tried(why: &str) {
    eprintln!("not tried: {why}");
}

/// A shell that may mount, in the folder of the test: `$0` is placebench, `$@` the arguments. `None`, with the reason on
/// standard error, where this system does not let it.
pub(crate) fn in_namespace(env: &TestEnv, script: &str, args: &[&str]) -> Option<Command> {
    const UNSHARE: [&str; 3] = ["--map-root-user", "--user", "--mount"];
    let tried = Command::new("unshare")
        .args(UNSHARE)
        .args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .output();
    match tried {
        Ok(output) if output.status.success() => {}
        other => {
            not_tried(&format!("nothing can be mounted here ({other:?})"));
            return None;
        }
    }
    let placebench = env.command(args);
    let mut command = Command::new("unshare");
    command
        .args(UNSHARE)
        .args(["sh", "-c", script])
        .arg(placebench.get_program())
        .args(placebench.get_args())
        .current_dir(env.path(""))
        .stdin(Stdio::null());
    Some(command)
}
