//! What asks the engine: requests, attempts, and what several checks rest on.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use placebench_core::device::{DeviceId, LogicalDevice};
use placebench_core::outcome::OutcomeKind;
use placebench_core::placement::{DeviceMapRequest, Offload, PlacementRequest, Transfer};
use placebench_core::protocol::{GenerationSpec, ModelSource, PROTOCOL_VERSION, Prompt, WorkerEvent, WorkerRequest};
use placebench_core::record::{CaseSpec, Expectation, Isolation, MeasureSpec, Timeouts};
use placebench_core::units::Bytes;
use placebench_runner::cancel::Cancel;
use placebench_runner::probe::{self, Probed};
use placebench_runner::supervisor::{self, Observation, WorkerCommand};
use placebench_runner::unsupervised::{self, Aftermath, Loss};
use serde_json::{Map, Value};

use super::answer::{Answer, Stop};
use super::checks::faults::stall_at_token;
use super::seen::{Heard, Seen};
use super::{maps, model};
use crate::error::CliError;
use crate::terminal;

/// Tokens a generation usually has.
pub(crate) const TOKENS: u32 = 8;
/// Tokens of a generation that takes a while.
pub(crate) const MANY_TOKENS: u32 = 256;
/// Lines that are listened to without a supervisor: many times what a short generation says.
const MOST_LINES: usize = 10_000;
/// The bytes of them.
const MOST_BYTES: usize = 64 << 20;
/// What a logical device may hold.
const BUDGET: Bytes = Bytes(64 << 20);
/// An attempt may take so many times as long as one of its parts.
const TOTAL: f64 = 4.0;

/// Logical devices, and the devices to place on.
pub(crate) type Devices = (Vec<LogicalDevice>, Vec<DeviceId>);

/// What the checks are made with.
pub(crate) struct Setup {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// What requests call the engine.
    pub(crate) engine: String,
    /// The model; absent: the one that is there everywhere.
    pub(crate) model: Option<ModelSource>,
    /// Whether the model's weights are random, so that it has no tokenizer.
    pub(crate) is_dummy: bool,
    /// The devices; absent: whichever the engine has.
    pub(crate) devices: Option<Devices>,
    /// Keys to put into every request.
    pub(crate) with: Map<String, Value>,
    /// Longest wait.
    pub(crate) timeout: Duration,
    /// Where configurations are written to.
    pub(crate) folder: PathBuf,
    pub(crate) cancel: Cancel,
}

/// The other side of the engine.
pub(crate) struct Lab {
    pub(crate) setup: Setup,
    pub(crate) devices: Vec<LogicalDevice>,
    /// The devices to place on, the first for whole models.
    pub(crate) on: Vec<DeviceId>,
    /// What it said without a supervisor: its lines, and how it ended.
    pub(crate) raw: Option<(Vec<String>, Probed)>,
    /// The attempt that all others are compared with.
    pub(crate) base: Option<Seen>,
    /// An attempt with a map of two devices, or why there is none.
    split: Option<Result<Seen, Answer>>,
    /// An attempt that was to hang at a token.
    stalled: Option<Seen>,
    /// Refusals, with the check that met them.
    pub(crate) refusals: Vec<(&'static str, String)>,
    /// The check that is asking.
    pub(crate) asking: &'static str,
}

impl Lab {
    pub(crate) fn new(setup: Setup) -> Self {
        let (devices, on) = setup.devices.clone().unwrap_or_else(logical_devices);
        Self {
            setup,
            devices,
            on,
            raw: None,
            base: None,
            split: None,
            stalled: None,
            refusals: Vec::new(),
            asking: "",
        }
    }

    /// The order that all others are variations of: one generation on one device.
    pub(crate) fn request(&self) -> Result<WorkerRequest, CliError> {
        let first = self.on.first().cloned().unwrap_or_else(DeviceId::cpu);
        let request = WorkerRequest {
            protocol: PROTOCOL_VERSION,
            case: format!("engine-check/{}/single", self.asking),
            engine: self.setup.engine.clone(),
            model: self.model()?,
            dtype: None,
            devices: self.devices.clone(),
            rates: None,
            placement: PlacementRequest {
                device_map: DeviceMapRequest::Single(first),
                max_memory: None,
                transfer: Transfer::Direct,
                offload: Offload::Execute,
                planner: Default::default(),
                concurrency: Default::default(),
            },
            prompt: match self.setup.is_dummy {
                true => Prompt::InputIds(model::prompt(6)),
                false => Prompt::Text("Once upon a time there was".to_owned()),
            },
            companion_prompts: Vec::new(),
            generation: GenerationSpec {
                max_new_tokens: TOKENS,
                sampling: None,
                ignore_eos: false,
                stop: Vec::new(),
            },
            warmup: 0,
            repetitions: 1,
            faults: Vec::new(),
            audit: false,
            probe: false,
            transformers: None,
            server: None,
        };
        if self.setup.with.is_empty() {
            return Ok(request);
        }
        let mut value = to_value(&request)?;
        if let Value::Object(keys) = &mut value {
            for (key, with) in &self.setup.with {
                merge(keys, key, with);
            }
        }
        serde_json::from_value(value).map_err(|error| CliError::setup(format!("--with makes no request: {error}")))
    }

    fn model(&self) -> Result<ModelSource, CliError> {
        match &self.setup.model {
            Some(model) => Ok(model.clone()),
            None => self.dummy("config.json", &model::config(model::USUAL_EOS).to_string()),
        }
    }

    /// A model with random weights, of a configuration that is written down for it.
    pub(crate) fn dummy(&self, name: &str, config: &str) -> Result<ModelSource, CliError> {
        let path = self.setup.folder.join(name);
        std::fs::write(&path, config).map_err(|error| {
            CliError::setup(format!(
                "{} cannot be written: {}",
                path.display(),
                terminal::chain(&error)
            ))
        })?;
        Ok(ModelSource::Dummy {
            config: Box::new(ModelSource::Path(path.to_string_lossy().into_owned())),
            seed: 7,
        })
    }

    /// Whether the model is the one that is there everywhere, whose shapes are known.
    pub(crate) fn is_own_model(&self) -> bool {
        self.setup.model.is_none()
    }

    /// Whether `--with` says itself where the model goes.
    pub(crate) fn places_itself(&self) -> bool {
        let asked = self.setup.with.get("placement");
        asked.is_some_and(|placement| placement.get("device_map").is_some())
    }

    fn command(&self) -> WorkerCommand {
        WorkerCommand::new(self.setup.program.clone(), self.setup.args.clone())
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        let seconds = self.setup.timeout.as_secs_f64();
        Timeouts {
            load_s: seconds,
            first_token_s: seconds,
            token_s: seconds,
            total_s: seconds * TOTAL,
        }
    }

    /// One attempt, as a run makes it.
    pub(crate) fn attempt(&mut self, request: &WorkerRequest) -> Result<Seen, CliError> {
        self.attempt_with(request, None, self.timeouts(), None)
    }

    /// One attempt whose request is written otherwise than by this program.
    pub(crate) fn attempt_of_text(&mut self, request: &WorkerRequest, text: Vec<u8>) -> Result<Seen, CliError> {
        self.attempt_with(request, Some(text), self.timeouts(), None)
    }

    /// One attempt with deadlines of its own, which is called off at the first event that `call_off` says so of.
    pub(crate) fn attempt_with(
        &mut self,
        request: &WorkerRequest,
        text: Option<Vec<u8>>,
        timeouts: Timeouts,
        call_off: Option<&dyn Fn(&WorkerEvent) -> bool>,
    ) -> Result<Seen, CliError> {
        let own = self.setup.cancel.below();
        let mut events = Vec::new();
        let mut started = Instant::now();
        let mut command = self.command();
        command.request_text = text;
        let attempt = supervisor::run_attempt(
            &command,
            &case(request, timeouts),
            request,
            0,
            None,
            &own,
            &mut |observation| match observation {
                Observation::Spawned { .. } => started = Instant::now(),
                Observation::Event(event) => {
                    events.push(Heard {
                        event: event.clone(),
                        after: started.elapsed(),
                    });
                    if call_off.is_some_and(|call_off| call_off(event)) {
                        own.cancel();
                    }
                }
                _ => {}
            },
        )
        .map_err(|error| CliError::setup(terminal::chain(&error)))?;
        self.check_interrupted()?;
        let seen = Seen { attempt, events };
        if let Some(failure) = seen.failure() {
            self.refusals.push((self.asking, failure.message.clone()));
        }
        Ok(seen)
    }

    fn check_interrupted(&self) -> Result<(), CliError> {
        match self.setup.cancel.is_cancelled() {
            true => Err(CliError::with_code(
                placebench_core::exit_code::ExitCode::NoVerdict,
                "interrupted: nothing is said about the engine",
            )),
            false => Ok(()),
        }
    }

    /// The lines of an attempt that nobody reads as a protocol, without a breadcrumb.
    pub(crate) fn listen(&self, request: &WorkerRequest) -> Result<(Vec<String>, Probed), CliError> {
        let (mut lines, mut heard) = (Vec::new(), 0);
        let own = self.setup.cancel.below();
        let probed = probe::run_probe(&self.command(), request, self.setup.timeout, &own, &mut |line| {
            heard += line.len();
            // An engine that goes on for ever has said enough.
            if lines.len() < MOST_LINES && heard < MOST_BYTES {
                lines.push(line.trim_end().to_owned());
            } else {
                own.cancel();
            }
        })
        .map_err(|error| CliError::setup(terminal::chain(&error)))?;
        self.check_interrupted()?;
        Ok((lines, probed))
    }

    /// Leaves the engine alone once a line of this event has come.
    pub(crate) fn leave_alone(
        &self,
        request: &WorkerRequest,
        loss: Loss,
        event: &str,
    ) -> Result<std::io::Result<Aftermath>, CliError> {
        let text = to_value(request)?.to_string();
        let mut is_time = |line: &str| {
            let said: Option<Value> = serde_json::from_str(line).ok();
            said.is_some_and(|said| said.get("event").and_then(Value::as_str) == Some(event))
        };
        let left = unsupervised::leave_alone(&self.command(), text.as_bytes(), loss, &mut is_time, self.setup.timeout);
        self.check_interrupted()?;
        Ok(left)
    }

    /// The attempt that the others are compared with. Checks that need it come after the one that makes it.
    pub(crate) fn base(&self) -> Result<&Seen, Answer> {
        self.base.as_ref().ok_or(Answer::NotTried { after: "run" })
    }

    /// The modules it told, of which some are on a device.
    pub(crate) fn modules(&self) -> Result<Vec<String>, Answer> {
        let realised = self.base()?.attempt.realised.iter().flatten();
        Ok(realised.map(|module| module.module.clone()).collect())
    }

    /// The two devices of maps, with the modules; not applicable where there are none.
    pub(crate) fn two_devices(&self) -> Result<(Vec<String>, DeviceId, DeviceId), Answer> {
        if self.places_itself() {
            return Err(Answer::not_applicable("--with says where the model goes"));
        }
        let modules = self.modules()?;
        match self.on.as_slice() {
            [first, second, ..] if modules.len() >= 2 => Ok((modules, first.clone(), second.clone())),
            [_, _, ..] => Err(Answer::not_applicable("the engine tells of fewer than two modules")),
            _ => Err(Answer::not_applicable(
                "there is one device to place on: name two with --on",
            )),
        }
    }

    /// An attempt with the two halves of the model on two devices.
    pub(crate) fn split(&mut self) -> Result<Seen, Stop> {
        if let Some(split) = &self.split {
            return Ok(split.clone()?);
        }
        let request = self.split_request()?;
        let seen = self.attempt(&request)?;
        let made = seen.may_refuse().map(|()| seen);
        self.split = Some(made.clone());
        Ok(made?)
    }

    /// The request of it.
    pub(crate) fn split_request(&self) -> Result<WorkerRequest, Stop> {
        let (modules, first, second) = self.two_devices()?;
        self.mapped(maps::halves(&modules, &first, &second))
    }

    /// A request with this map.
    pub(crate) fn mapped(&self, map: Vec<(String, DeviceId)>) -> Result<WorkerRequest, Stop> {
        let mut request = self.request()?;
        request.placement.device_map = DeviceMapRequest::Manual(map);
        Ok(request)
    }

    /// The longest wait for a token that shows a hang and no slow step: a good deal longer than any step took so far.
    pub(crate) fn stall_timeouts(&self) -> Timeouts {
        let stamps = self.base.iter().flat_map(|seen| &seen.attempt.generations);
        let slowest = stamps
            .flat_map(|made| made.token_stamps_s.windows(2).map(|pair| pair[1] - pair[0]))
            .fold(0.1, f64::max);
        Timeouts {
            token_s: (20.0 * slowest).min(self.setup.timeout.as_secs_f64()),
            ..self.timeouts()
        }
    }

    /// An attempt that was asked to hang at its third token.
    pub(crate) fn stalled(&mut self) -> Result<Seen, CliError> {
        if let Some(seen) = &self.stalled {
            return Ok(seen.clone());
        }
        let mut request = self.request()?;
        request.faults = vec![stall_at_token(2)];
        let seen = self.attempt_with(&request, None, self.stall_timeouts(), None)?;
        self.stalled = Some(seen.clone());
        Ok(seen)
    }
}

pub(crate) fn to_value(request: &WorkerRequest) -> Result<Value, CliError> {
    serde_json::to_value(request).map_err(|error| CliError::setup(format!("the request cannot be written: {error}")))
}

/// Objects are merged, so that one key of `placement` can be given; everything else is replaced.
fn merge(keys: &mut Map<String, Value>, key: &str, with: &Value) {
    match (keys.get_mut(key), with) {
        (Some(Value::Object(old)), Value::Object(new)) if key == "placement" || key == "generation" => {
            for (key, value) in new {
                old.insert(key.clone(), value.clone());
            }
        }
        _ => {
            keys.insert(key.to_owned(), with.clone());
        }
    }
}

fn logical_devices() -> Devices {
    let on: Vec<DeviceId> = ["sim:0", "sim:1"]
        .iter()
        .filter_map(|name| DeviceId::new(name).ok())
        .collect();
    let devices = on.iter().map(|id| LogicalDevice {
        id: id.clone(),
        on: DeviceId::cpu(),
        memory_bytes: Some(BUDGET),
    });
    (devices.collect(), on)
}

/// What the supervisor needs to know of a case besides the request.
fn case(request: &WorkerRequest, timeout: Timeouts) -> CaseSpec {
    CaseSpec {
        case: request.case.clone(),
        scenario: "engine-check".into(),
        prompt: "prompt".into(),
        placement: "single".into(),
        file: String::new(),
        line: 1,
        description: String::new(),
        tags: Vec::new(),
        engine: request.engine.clone(),
        model: request.model.clone(),
        model_fetch: None,
        dtype: request.dtype,
        devices: request.devices.clone(),
        rates: None,
        request: request.placement.clone(),
        input: request.prompt.clone(),
        companion_inputs: request.companion_prompts.clone(),
        generation: request.generation.clone(),
        timeout,
        measure: MeasureSpec {
            warmup: request.warmup,
            repetitions: request.repetitions,
            isolation: Isolation::Shared,
            probe: request.probe,
            first_look: None,
        },
        expect: Expectation {
            outcome: OutcomeKind::Completed,
            phase: None,
            at: None,
            snapshot: false,
            agreement: None,
            forbid_devices: Vec::new(),
            min_devices_used: None,
            contains: Vec::new(),
            fails: Vec::new(),
            limits: None,
            killed: None,
            snapshot_rule: Default::default(),
            engines: None,
        },
        requires_cuda: 0,
        faults: request.faults.clone(),
        env: Vec::new(),
        snapshot_dir: String::new(),
        program: None,
        audit: None,
        transformers: request.transformers.clone(),
        server: request.server.clone(),
    }
}
