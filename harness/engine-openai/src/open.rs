//! From a request to a server that can be asked.

use placebench_core::device::DeviceId;
use placebench_core::fault::FaultKind;
use placebench_core::outcome::{FailureClass, Phase, WorkerFailure};
use placebench_core::placement::{Concurrency, DeviceMapRequest, Offload, Transfer};
use placebench_core::planner::Dialect as PlannerDialect;
use placebench_core::protocol::{DeviceFacts, EventKind, WorkerRequest};
use placebench_core::record::{PORT, ServerAddress, ServerSpec};
use placebench_core::scenario::OPENAI;
use placebench_engine::{Context, Engine, Session};

use crate::dialect::Identity;
use crate::http::Client;
use crate::order::Wishes;
use crate::session::ServerSession;
use crate::started::{StartedServer, free_port};

/// The name a server has among devices.
const DEVICE: &str = "server:0";

/// `engine = "openai"`.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenAiEngine;

impl Engine for OpenAiEngine {
    fn name(&self) -> &'static str {
        OPENAI
    }

    fn versions(&self) -> Vec<String> {
        vec![format!("placebench-engine-openai {}", env!("CARGO_PKG_VERSION"))]
    }

    fn supports_fault(&self, _kind: FaultKind) -> bool {
        false
    }

    fn supports_concurrency(&self, concurrency: Concurrency) -> bool {
        !matches!(concurrency, Concurrency::Batch(_))
    }

    fn open(&self, request: &WorkerRequest, context: &mut Context) -> Result<Box<dyn Session>, WorkerFailure> {
        context.phase(Phase::Resolve);
        if let Some(key) = refused(request) {
            let message = format!("engine `{OPENAI}` cannot honour {key}: the server decides it");
            return Err(context.failure(FailureClass::Unsupported, message));
        }
        let invalid = |context: &Context, message: String| context.failure(FailureClass::RequestInvalid, message);
        let Some(spec) = &request.server else {
            return Err(invalid(
                context,
                format!("engine `{OPENAI}` needs a [server] that says which"),
            ));
        };
        let (address, port) = address(spec).map_err(|why| invalid(context, why))?;
        let key = key(spec).map_err(|why| invalid(context, why))?;
        let mut notes = Vec::new();
        if key.is_some() && !address.is_https && !address.is_loopback() {
            notes.push("the key goes to the server unencrypted: its address begins with http://".to_owned());
        }
        if let Some(dtype) = request.dtype {
            notes.push(format!(
                "the server computes in what it likes: dtype {} is not told to it",
                dtype.as_str()
            ));
        }
        let client = Client::new(address, key.as_deref()).map_err(|why| invalid(context, why))?;
        let server = start(spec, port, request, context)?;
        context.phase(Phase::Load);
        let refusal = |context: &Context, message: String| context.failure(FailureClass::Server, message);
        if let (Some(server), Some(start)) = (&server, &spec.start) {
            let ready = server.wait_until_ready(&client, &start.ready);
            ready.map_err(|why| refusal(context, why))?;
        }
        let identity = Identity::ask(&client).map_err(|why| refusal(context, why))?;
        let model = model(spec, &identity, &mut notes).map_err(|why| refusal(context, why))?;
        let device = DeviceId::new(DEVICE).unwrap_or_else(|_| DeviceId::cpu());
        context.emit(EventKind::Devices {
            devices: vec![DeviceFacts {
                id: device.clone(),
                on: device,
                name: format!("{} at {}", identity.name, client.address().root),
                memory_bytes: None,
                architecture: None,
            }],
        });
        let prompts = std::iter::once(&request.prompt).chain(&request.companion_prompts);
        let session = ServerSession {
            prompts: prompts.cloned().collect(),
            generation: request.generation.clone(),
            wishes: Wishes::default(),
            client,
            identity,
            model,
            notes,
            server,
        };
        session.tell_notes(context);
        context.emit(EventKind::Loaded {
            realised: Vec::new(),
            unused_tensors: Vec::new(),
            eos_token_ids: None,
        });
        Ok(Box::new(session))
    }
}

/// The key of the placement that nobody could honour, if one is there.
fn refused(request: &WorkerRequest) -> Option<&'static str> {
    let placement = &request.placement;
    match &placement.device_map {
        DeviceMapRequest::Stated(_) => {}
        DeviceMapRequest::Ranks(_) => return Some("launch"),
        DeviceMapRequest::Strategy(_)
        | DeviceMapRequest::Optimal(_)
        | DeviceMapRequest::Single(_)
        | DeviceMapRequest::Manual(_) => return Some("device_map"),
    }
    let asked = [
        ("max_memory", placement.max_memory.is_some()),
        ("transfer", placement.transfer != Transfer::default()),
        ("offload", placement.offload != Offload::default()),
        ("planner", placement.planner != PlannerDialect::default()),
    ];
    asked.into_iter().find(|(_, is_asked)| *is_asked).map(|(key, _)| key)
}

/// Where the server is, or will be.
fn address(spec: &ServerSpec) -> Result<(ServerAddress, u16), String> {
    let wrong = |why: String| format!("the address {why}: {}", spec.url);
    let address = spec.address(1).map_err(wrong)?;
    if !spec.url.contains(PORT) {
        return Ok((address, 0));
    }
    let port = free_port(&address.host).map_err(|error| format!("there is no free port for a server: {error}"))?;
    spec.address(port).map(|address| (address, port)).map_err(wrong)
}

/// The key, where the scenario names the variable that holds it.
fn key(spec: &ServerSpec) -> Result<Option<String>, String> {
    let Some(name) = &spec.api_key_env else {
        return Ok(None);
    };
    let key = std::env::var(name).unwrap_or_default();
    let key = key.trim();
    if key.is_empty() {
        return Err(format!(
            "the variable {name}, which api_key_env of [server] names, is not set: set it in the shell that starts placebench"
        ));
    }
    if key.chars().any(char::is_control) {
        return Err(format!("the key in {name} has a control character in it"));
    }
    Ok(Some(key.to_owned()))
}

fn start(
    spec: &ServerSpec,
    port: u16,
    request: &WorkerRequest,
    context: &Context,
) -> Result<Option<StartedServer>, WorkerFailure> {
    let Some(start) = &spec.start else {
        return Ok(None);
    };
    StartedServer::start(start, port, &request.model)
        .map(Some)
        .map_err(|error| {
            let message = format!("no process could be started for the server: {error}");
            context.failure(FailureClass::Internal, message)
        })
}

/// What the model is called there.
fn model(spec: &ServerSpec, identity: &Identity, notes: &mut Vec<String>) -> Result<String, String> {
    let Some(named) = &spec.model else {
        let first = identity.models.first().cloned();
        return first.ok_or_else(|| "the server lists no models: name one with model of [server]".to_owned());
    };
    if !identity.models.is_empty() && !identity.models.contains(named) {
        let listed: Vec<&str> = identity.models.iter().take(4).map(String::as_str).collect();
        notes.push(format!(
            "the server does not list the model `{named}`; it lists {}",
            listed.join(", ")
        ));
    }
    Ok(named.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;

    fn spec(url: &str) -> ServerSpec {
        ServerSpec {
            url: url.to_owned(),
            ..ServerSpec::default()
        }
    }

    #[test]
    fn a_port_is_chosen_where_one_is_asked_for() {
        let (chosen, port) = address(&spec("http://127.0.0.1:{port}/v1")).unwrap();
        assert_eq!(chosen.root, format!("http://127.0.0.1:{port}"));
        assert_eq!(
            address(&spec("http://127.0.0.1:81")).unwrap().0.root,
            "http://127.0.0.1:81"
        );
        assert!(address(&spec("nowhere")).unwrap_err().contains("neither http"));
    }

    #[test]
    fn a_key_that_is_not_set_is_named() {
        let named = ServerSpec {
            api_key_env: Some("NOBODY_SETS_THIS_KEY".into()),
            ..spec("http://a")
        };
        assert!(key(&named).unwrap_err().contains("NOBODY_SETS_THIS_KEY"));
        assert_eq!(key(&spec("http://a")), Ok(None));
    }

    #[test]
    fn the_model_is_the_first_unless_one_is_named() {
        let identity = |models: &[&str]| Identity {
            dialect: Dialect::Other,
            name: String::new(),
            models: models.iter().map(|model| (*model).to_owned()).collect(),
        };
        let mut notes = Vec::new();
        assert_eq!(
            model(&spec("http://a"), &identity(&["x", "y"]), &mut notes).unwrap(),
            "x"
        );
        assert!(model(&spec("http://a"), &identity(&[]), &mut notes).is_err());
        let named = ServerSpec {
            model: Some("z".into()),
            ..spec("http://a")
        };
        assert_eq!(model(&named, &identity(&[]), &mut notes).unwrap(), "z");
        assert!(notes.is_empty());
        assert_eq!(model(&named, &identity(&["x"]), &mut notes).unwrap(), "z");
        assert!(notes[0].contains("does not list the model `z`; it lists x"));
    }
}
