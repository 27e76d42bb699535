//! Opens a page with the system's own opener, where somebody can look at it. Whether that works changes no answer: the path
//! was printed before, and a note says why nothing opened.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::terminal::{note, printable};

/// An opener that takes longer is at work: some wait for the browser's end.
const PATIENCE: Duration = Duration::from_secs(3);

/// Variables by which services that run jobs are known: nobody sits there.
const CI: [&str; 3] = ["CI", "TF_BUILD", "JENKINS_URL"];

/// Opens a page, or says why not.
pub(crate) fn open_page(page: &Path) {
    // The opener may be one that is at home in another folder.
    let page = std::path::absolute(page).unwrap_or_else(|_| page.to_owned());
    let why = match nobody_there() {
        Some(why) => why,
        None => match start(&page) {
            Ok(()) => return,
            Err(why) => why,
        },
    };
    note(&format!(
        "the page was not opened: {why}. Open it yourself: {}",
        printable(&page.display().to_string())
    ));
}

/// Why nobody would see it; nothing where somebody would.
fn nobody_there() -> Option<String> {
    let is_set = |name: &str| {
        let value = std::env::var_os(name);
        value.is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
    };
    if let Some(name) = CI.into_iter().find(|name| is_set(name)) {
        return Some(format!("this is a CI job ({name} is set)"));
    }
    // Windows shows what a program of its Linux subsystem opens.
    let has_display = ["DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"]
        .into_iter()
        .any(is_set);
    let needs_display = cfg!(all(unix, not(target_os = "macos")));
    (needs_display && !has_display)
        .then(|| "there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set)".to_owned())
}

/// Hands the page to the first opener that takes it.
fn start(page: &Path) -> Result<(), String> {
    let mut last = None;
    for command in open::commands(page) {
        let name = command.get_program().to_string_lossy().into_owned();
        match hand_over(command) {
            Ok(true) => return Ok(()),
            Ok(false) => last = Some(format!("{name} refused it")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => last = Some(format!("{name}: {error}")),
        }
    }
    Err(last.unwrap_or_else(|| "no opener was found (such as xdg-open)".to_owned()))
}

/// Whether an opener took it, or is still at it.
fn hand_over(mut command: Command) -> std::io::Result<bool> {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = silent.spawn()?;
    let (end, ended) = mpsc::channel();
    thread::spawn(move || drop(end.send(child.wait())));
    match ended.recv_timeout(PATIENCE) {
        Ok(status) => status.map(|status| status.success()),
        Err(_) => Ok(true),
    }
}
