//! What happens in a worker, as it happens.

use serde::{Deserialize, Serialize};

use super::{DeviceFacts, Generation, LinkFacts, MemoryFigure, PlannedPlacement, Probe, RealisedModule};
use crate::audit::AuditStep;
use crate::device::{DeviceBytes, DeviceId};
use crate::outcome::{Hop, Phase, WorkerFailure};
use crate::units::Bytes;

/// What happened in the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The first line.
    Hello {
        /// The worker's [`PROTOCOL_VERSION`](super::PROTOCOL_VERSION).
        protocol: u32,
        /// Name of the engine.
        engine: String,
        /// Versions of what computes: `candle-core 0.11.1`.
        versions: Vec<String>,
        /// `debug` or `release`; figures of the two are never compared.
        profile: String,
        /// How it can be asked for the stacks of its own language; absent where it cannot.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stacks: Option<StacksOnDemand>,
    },
    /// A phase begins.
    Phase {
        /// The phase.
        phase: Phase,
    },
    /// A file of the model is being downloaded: at its begin and end, and several times a second between.
    Fetching {
        /// Its name in the repository.
        file: String,
        /// Bytes that are here.
        done_bytes: Bytes,
        /// Bytes it has.
        total_bytes: Bytes,
    },
    /// The devices that are there.
    Devices {
        /// Each with its budget.
        devices: Vec<DeviceFacts>,
    },
    /// The planner answered.
    Planned(PlannedPlacement),
    /// Names for the indices of the breadcrumb.
    Places {
        /// Modules in order of execution, with their devices.
        modules: Vec<(String, DeviceId)>,
        /// Hops in order of execution.
        hops: Vec<Hop>,
    },
    /// Weights are where they are.
    Loaded {
        /// Read back from the loaded tensors.
        realised: Vec<RealisedModule>,
        /// Tensors of the checkpoint that the model does not use.
        #[serde(default)]
        unused_tensors: Vec<String>,
        /// The tokens that end a generation; absent where the engine does not know them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        eos_token_ids: Option<Vec<u32>>,
    },
    /// How activations travel over each ordered pair of devices that has a hop. Sent in phase `prepare`, if at all.
    Links {
        /// In order of their first hop.
        links: Vec<LinkFacts>,
    },
    /// What one step over the prompt gave before anything was generated. Sent in phase `prepare`, if at all.
    Probed(Probe),
    /// A generation begins.
    Started {
        /// Its number in this process, warm-ups included.
        generation: u32,
        /// Not to be counted.
        warmup: bool,
    },
    /// A token was made; the event's time is its stamp.
    Token {
        /// The generation.
        generation: u32,
        /// The sequence: 0, or the number of a companion, from 1.
        #[serde(default, skip_serializing_if = "is_zero")]
        sequence: u32,
        /// Its position, from 0.
        index: u32,
        /// The token; absent where the engine is told its text only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u32>,
        /// Largest logit minus second largest; absent where the engine is not told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        top2_gap: Option<f32>,
    },
    /// What modules made and hops delivered since the last such event; only where the request asks for it. A step has one for
    /// each of its stages, before its hop begins.
    Audited(AuditStep),
    /// A generation is done.
    Finished {
        /// Its number in this process, warm-ups included.
        generation: u32,
        /// Not to be counted.
        warmup: bool,
        /// All of it.
        result: Generation,
    },
    /// A figure of memory; a later one for the same device and kind replaces it.
    Memory(MemoryFigure),
    /// What is still in use on each device when a generation is over and all that was its own has been given back. Follows
    /// `finished`, if it is sent at all. Figures that grow with every generation are a leak.
    Held {
        /// The generation.
        generation: u32,
        /// Devices with the bytes in use.
        devices: Vec<DeviceBytes>,
    },
    /// The injected faults that have struck. Sent before `done` where faults were asked for: one that never struck proves
    /// nothing.
    FaultsStruck {
        /// Positions among the faults of the request, in order.
        struck: Vec<u32>,
    },
    /// The last line of a worker that succeeded.
    Done,
    /// The last line of one that did not.
    Error {
        /// What went wrong.
        failure: WorkerFailure,
    },
}

/// A line of the event pipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WorkerEvent {
    /// Seconds since the worker's start, on its monotonic clock.
    pub t_s: f64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// A worker that writes the stacks of its threads, as its language knows them, to the file named by
/// [`STACKS_ENV`](super::STACKS_ENV) when it gets a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StacksOnDemand {
    /// The signal.
    pub signal: StacksSignal,
}

/// The signals that are free for it: the others mean something else to a process or to the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum StacksSignal {
    /// What `faulthandler` of Python is usually registered for.
    #[serde(rename = "SIGUSR1")]
    Usr1,
    /// The other one.
    #[serde(rename = "SIGUSR2")]
    Usr2,
}

impl StacksSignal {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Usr1 => "SIGUSR1",
            Self::Usr2 => "SIGUSR2",
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::super::{MemoryKind, ModelSource};
    use super::*;

    #[test]
    fn events_are_flat_json_objects() {
        let event = WorkerEvent {
            t_s: 0.25,
            kind: EventKind::Token {
                generation: 1,
                sequence: 0,
                index: 3,
                id: Some(42),
                top2_gap: Some(0.5),
            },
        };
        let line = serde_json::to_string(&event).unwrap();
        insta::assert_snapshot!(line, @r#"{"t_s":0.25,"event":"token","generation":1,"index":3,"id":42,"top2_gap":0.5}"#);
        assert_eq!(serde_json::from_str::<WorkerEvent>(&line).unwrap(), event);
    }

    #[test]
    fn newtype_events_are_flat_too() {
        let event = WorkerEvent {
            t_s: 1.0,
            kind: EventKind::Memory(MemoryFigure {
                device: DeviceId::cpu(),
                kind: MemoryKind::Peak,
                bytes: Bytes(10),
                allowed_bytes: None,
            }),
        };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<WorkerEvent>(&line).unwrap(), event);
    }

    #[test]
    fn a_dummy_model_says_so_in_the_record_and_others_read_as_before() {
        let dummy = ModelSource::Dummy {
            config: Box::new(ModelSource::Path("/a/qwen2.5-3b.json".into())),
            seed: 7,
        };
        let text = serde_json::to_string(&dummy).unwrap();
        insta::assert_snapshot!(text, @r#"{"dummy":{"config":{"path":"/a/qwen2.5-3b.json"},"seed":7}}"#);
        assert_eq!(serde_json::from_str::<ModelSource>(&text).unwrap(), dummy);
        let old = r#"{"hub":{"repo":"a/b","revision":"main","file":null}}"#;
        assert_eq!(serde_json::from_str::<ModelSource>(old).unwrap().label(), "a/b");
    }

    #[test]
    fn models_have_short_labels() {
        assert_eq!(ModelSource::Path("/a/models/tiny/".into()).label(), "tiny");
        let dummy = |path: &str| ModelSource::Dummy {
            config: Box::new(ModelSource::Path(path.into())),
            seed: 0,
        };
        assert_eq!(dummy("/a/configs/qwen2.5-3b.json").label(), "qwen2.5-3b (dummy)");
        assert_eq!(dummy("/a/models/tiny/config.json").label(), "tiny (dummy)");
        assert_eq!(dummy("/a/models/tiny").label(), "tiny (dummy)");
        assert_eq!(dummy("config.json").label(), "config (dummy)");
    }
}
