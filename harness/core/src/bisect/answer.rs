//! What was found, as values and as a sentence.

use serde::{Deserialize, Serialize};

use super::ProbeResult;
use super::space::{Configuration, Difference};
use super::symptom::Symptom;
use crate::device::DeviceId;
use crate::placement::{Offload, Transfer};

/// What makes the difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Culprit {
    /// The activation between two certain modules: it passes with the boundary one module earlier or later.
    Hop {
        /// The module before it.
        from_module: String,
        /// The module after it.
        to_module: String,
        /// Where it was sent from.
        from_device: DeviceId,
        /// Where it went.
        to_device: DeviceId,
    },
    /// Any hop from one device to another.
    Link {
        /// The sender.
        from: DeviceId,
        /// The receiver.
        to: DeviceId,
    },
    /// A module where it is.
    Module {
        /// The module.
        module: String,
        /// Where it is.
        device: DeviceId,
    },
    /// Whatever runs on a device.
    Device {
        /// The device.
        device: DeviceId,
    },
    /// How activations travel.
    Transfer {
        /// The way that fails.
        transfer: Transfer,
    },
    /// How layers beside an accelerator run.
    Offload {
        /// The way that fails.
        offload: Offload,
    },
    /// Several differences together.
    Several {
        /// How many.
        count: usize,
        /// The map that fails, in words.
        map: String,
    },
}

/// A question that was asked about the culprit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObservationKind {
    /// The boundary one module earlier.
    BoundaryEarlier,
    /// The boundary one module later.
    BoundaryLater,
    /// The two devices exchanged.
    Exchanged,
    /// The other way of moving activations.
    Transfer(Transfer),
    /// Everything on the device that sends.
    AllOnSender,
    /// Everything on the device that receives, or on the one that is blamed.
    AllOnReceiver,
    /// Another receiver.
    OtherLink {
        /// That receiver.
        to: DeviceId,
    },
    /// Another module in place of the one that is blamed.
    OtherModule {
        /// That module.
        module: String,
    },
}

/// A question with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// What was changed.
    pub kind: ObservationKind,
    /// What came out.
    pub result: ProbeResult,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What makes the difference.
    pub culprit: Culprit,
    /// The simplest configuration that fails.
    pub failing: Configuration,
    /// The nearest one that passes.
    pub passing: Configuration,
    /// What else was tried on the way to it.
    pub observations: Vec<Observation>,
    /// How many of the differences between the two make it pass when they alone are undone, and how many differences there are.
    /// Equal numbers: nothing in the failing configuration can be left out.
    pub undone: (usize, usize),
}

impl Culprit {
    pub(super) fn of_option(option: Difference, failing: &Configuration) -> Self {
        match option {
            Difference::Offload => Self::Offload {
                offload: failing.offload,
            },
            Difference::Transfer | Difference::Module(_) => Self::Transfer {
                transfer: failing.transfer,
            },
        }
    }
}

impl Answer {
    /// An answer with nothing observed yet.
    pub(super) fn new(culprit: Culprit, failing: Configuration, passing: Configuration) -> Self {
        let differences = failing.differences(&passing).len();
        // A single difference is undone by the passing configuration itself.
        let undone = if differences == 1 { (1, 1) } else { (0, differences) };
        Self {
            culprit,
            failing,
            passing,
            observations: Vec::new(),
            undone,
        }
    }

    pub(super) fn observe(&mut self, kind: ObservationKind, result: ProbeResult) {
        self.observations.push(Observation { kind, result });
    }

    /// Whether undoing any one of the remaining differences makes it pass.
    #[must_use]
    pub fn is_minimal(&self) -> bool {
        self.undone.0 == self.undone.1
    }

    /// What came out for a question, where it was asked.
    #[must_use]
    pub fn observed(&self, is_meant: impl Fn(&ObservationKind) -> bool) -> Option<ProbeResult> {
        let found = self.observations.iter().find(|observation| is_meant(&observation.kind));
        found.map(|observation| observation.result)
    }

    /// The answer in one or two sentences. Holds names of modules: escape it wherever it is shown.
    #[must_use]
    pub fn sentence(&self, symptom: &Symptom) -> String {
        let with = symptom.words();
        let mut clauses = vec![match &self.culprit {
            Culprit::Hop {
                from_module,
                to_module,
                from_device,
                to_device,
            } => {
                let moved = self.observed(|kind| *kind == ObservationKind::BoundaryLater);
                let passes = match moved {
                    Some(ProbeResult::Passes) => format!("with {to_module} on {from_device} too it passes"),
                    _ => "with the boundary one module earlier it passes".to_owned(),
                };
                format!(
                    "{from_module} -> {to_module} over {from_device} -> {to_device} is the culprit: with this hop {with}, {passes}"
                )
            }
            Culprit::Link { from, to } => format!(
                "the link {from} -> {to} is the culprit: whatever modules lie at the boundary, {with}; on one of the two devices alone it passes"
            ),
            Culprit::Module { module, device } => {
                format!("{module} on {device} is the culprit: with it there {with}, elsewhere it passes")
            }
            Culprit::Device { device } => {
                format!("{device} is the culprit: whatever module runs there, {with}; on other devices it passes")
            }
            Culprit::Transfer { transfer } => format!(
                "transfer = \"{}\" is the culprit: with it {with}, the other way it passes",
                transfer_word(*transfer)
            ),
            Culprit::Offload { offload } => {
                let word = match offload {
                    Offload::Stream => "stream",
                    Offload::Execute => "execute",
                };
                format!("offload = \"{word}\" is the culprit: with it {with}, the other way it passes")
            }
            Culprit::Several { count, map } => {
                format!("{count} differences together are the culprit: with {map}, {with}")
            }
        }];
        clauses.extend(
            self.observations
                .iter()
                .filter_map(|observation| self.clause(observation)),
        );
        if !self.is_minimal() {
            clauses.push(format!(
                "it is not shown that none of the {} differences that remain can be left out",
                self.undone.1
            ));
        }
        clauses.join("; ")
    }

    fn clause(&self, observation: &Observation) -> Option<String> {
        use ProbeResult::{Fails, Passes, Unresolved};
        let result = observation.result;
        Some(match (&observation.kind, result) {
            (ObservationKind::Transfer(transfer), Passes) => {
                format!("transfer = \"{}\" helps", transfer_word(*transfer))
            }
            (ObservationKind::Transfer(transfer), Fails) => {
                format!("transfer = \"{}\" does not help", transfer_word(*transfer))
            }
            (ObservationKind::Exchanged, Passes) => match self.culprit {
                Culprit::Hop { .. } => "with the two devices exchanged it passes, so these devices matter".to_owned(),
                _ => "the other direction passes".to_owned(),
            },
            (ObservationKind::Exchanged, Fails) => match self.culprit {
                Culprit::Hop { .. } => {
                    "with the two devices exchanged it fails too, so it is the place in the model".to_owned()
                }
                _ => "the other direction fails too".to_owned(),
            },
            (ObservationKind::OtherLink { to }, Passes) => format!("to {to} instead it passes"),
            (ObservationKind::OtherLink { to }, Fails) => format!("to {to} instead it fails too: any hop may do"),
            (ObservationKind::OtherModule { module }, Passes) => format!("with {module} there instead it passes"),
            (
                ObservationKind::BoundaryEarlier
                | ObservationKind::BoundaryLater
                | ObservationKind::AllOnSender
                | ObservationKind::AllOnReceiver
                | ObservationKind::OtherModule { .. },
                Passes | Fails,
            )
            | (_, Unresolved) => return None,
        })
    }
}

fn transfer_word(transfer: Transfer) -> &'static str {
    match transfer {
        Transfer::Direct => "direct",
        Transfer::Host => "host",
    }
}
