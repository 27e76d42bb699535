//! Where the program of a server is that a scenario starts, and whether it is there at all.

use std::path::{Path, PathBuf};

use placebench_core::outcome::Outcome;
use placebench_core::record::{ServerSpec, ServerStart};

/// The server with the program of its command found, where it can be.
pub(crate) fn located(server: &ServerSpec) -> ServerSpec {
    let mut server = server.clone();
    if let Some(start) = &mut server.start
        && let Some(found) = found(start)
        && let Some(program) = start.command.first_mut()
    {
        *program = found.to_string_lossy().into_owned();
    }
    server
}

/// The outcome of a case whose server is not there, where somebody says how to get it. Where nobody does, that is a mistake of
/// the scenario, and the attempt says so.
pub(crate) fn skip_reason(server: &ServerSpec) -> Option<Outcome> {
    let start = server.start.as_ref()?;
    let get = start.get.as_ref().filter(|_| found(start).is_none())?;
    let program = start.command.first()?;
    Some(Outcome::Skipped {
        reason: format!("the server {program} is not here"),
        hint: Some(get.clone()),
    })
}

/// A name without `/` is looked for in `PATH`, then where `ci/llama-server.sh` puts what it makes: in a folder of that name
/// beside the one that holds this program.
fn found(start: &ServerStart) -> Option<PathBuf> {
    let program = start.command.first()?;
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(|own| beside(own, program));
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    folders
        .map(|folder| folder.join(program))
        .chain(beside)
        .find(|path| is_program(path))
}

/// `target/llama-server/llama-server` for `target/debug/placebench`.
fn beside(own: &Path, program: &str) -> Option<PathBuf> {
    Some(own.parent()?.parent()?.join(program).join(program))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(program: &str, get: Option<&str>) -> ServerSpec {
        ServerSpec {
            start: Some(ServerStart {
                command: vec![program.to_owned(), "--port".to_owned()],
                get: get.map(str::to_owned),
                ..ServerStart::default()
            }),
            ..ServerSpec::default()
        }
    }

    #[test]
    fn a_program_is_found_by_its_name() {
        let located = located(&server("sh", None)).start.unwrap().command;
        assert!(located[0].ends_with("/sh"), "{located:?}");
        assert_eq!(located[1], "--port");
        assert_eq!(
            beside(Path::new("/a/target/debug/placebench"), "llama-server"),
            Some(PathBuf::from("/a/target/llama-server/llama-server"))
        );
    }

    #[test]
    fn a_case_is_skipped_only_where_its_server_is_missing_and_can_be_had() {
        let missing = "no-such-server-anywhere";
        let Some(Outcome::Skipped { reason, hint }) = skip_reason(&server(missing, Some("get it"))) else {
            panic!("not skipped")
        };
        assert_eq!(
            (reason.as_str(), hint.as_deref()),
            ("the server no-such-server-anywhere is not here", Some("get it"))
        );
        assert_eq!(skip_reason(&server(missing, None)), None);
        assert_eq!(skip_reason(&server("sh", Some("get it"))), None);
        assert_eq!(skip_reason(&ServerSpec::default()), None);
        // A folder is no program.
        assert!(skip_reason(&server("/", Some("get it"))).is_some());
        assert_eq!(located(&server(missing, None)), server(missing, None));
    }
}
