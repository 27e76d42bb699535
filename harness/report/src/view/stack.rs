//! What executes a case besides its engine's name: the Python environment, the server.

use placebench_core::record::{CaseSpec, ServerSpec};

use super::words::{line, shell};

/// How the stack of Hugging Face is run, in words; empty for other engines.
pub(super) fn python(spec: &CaseSpec) -> String {
    let Some(stack) = &spec.transformers else {
        return String::new();
    };
    let parts = [
        stack.environment.as_ref().map(|name| format!("environment {name}")),
        stack
            .attention
            .as_ref()
            .map(|attention| format!("attention {attention}")),
        stack
            .move_to
            .as_ref()
            .map(|device| format!("model.to({device}) once dispatched")),
        stack.inputs_on.as_ref().map(|device| format!("inputs on {device}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    line(&parts.join(", "))
}

/// The server a case speaks to, with what starts it; empty for other engines.
pub(super) fn server(spec: &CaseSpec) -> String {
    let Some(server) = &spec.server else {
        return String::new();
    };
    let model = server
        .model
        .as_ref()
        .map(|model| format!(", model {}", line(model)))
        .unwrap_or_default();
    let started = match &server.start {
        Some(start) => format!(", started with {}", shell(&start.command)),
        None => ", running already".to_owned(),
    };
    format!("{}{model}{started}", address(server))
}

/// The address without anything that might be a secret: no user, no query.
fn address(server: &ServerSpec) -> String {
    let (scheme, rest) = server.url.split_once("://").unwrap_or(("", server.url.as_str()));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest
        .split_once('/')
        .map_or((rest, String::new()), |(host, path)| (host, format!("/{path}")));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    match scheme {
        "" => line(&format!("{host}{path}")),
        scheme => line(&format!("{scheme}://{host}{path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_credentials() {
        let shown = |url: &str| {
            address(&ServerSpec {
                url: url.into(),
                ..ServerSpec::default()
            })
        };
        assert_eq!(shown("http://127.0.0.1:8000/v1"), "http://127.0.0.1:8000/v1");
        assert_eq!(shown("https://me:secret@host/v1?key=secret#secret"), "https://host/v1");
        assert_eq!(shown("https://a@b:secret@host"), "https://host");
    }
}
