//! A comparison in a sentence.

use std::fmt;

use super::{Became, Comparison, End, Parting, Stage, Whose};
use crate::outcome::Place;

impl Comparison {
    /// The first thing that is wrong, or how far all is well, in a sentence without a full stop.
    #[must_use]
    pub fn sentence(&self) -> String {
        match (&self.parting, &self.reference) {
            (Some(parting), Some(reference)) if parting.whose == Whose::Theirs => {
                format!("cannot agree with {reference}, which goes wrong itself at {parting}")
            }
            (Some(parting), Some(reference)) => match parting.stage {
                Stage::Computing => format!(
                    "parts from {reference} at {parting}{}",
                    self.measure(parting, reference)
                ),
                Stage::Resting | Stage::Moving => format!("parts from {reference} at {parting}"),
            },
            (Some(parting), None) => format!("goes wrong at {parting}"),
            (None, Some(reference)) => format!("agrees with {reference} {}", self.extent()),
            (None, None) => self.faithful_hops(),
        }
    }

    /// Whether this trail is to blame for anything.
    #[must_use]
    pub fn is_blamed(&self) -> bool {
        self.parting
            .as_ref()
            .is_some_and(|parting| parting.whose == Whose::Ours)
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        let parting = self.parting.as_ref().filter(|parting| parting.whose == Whose::Ours)?;
        Some(match parting.stage {
            Stage::Moving => {
                "what was sent is not what arrived: repeat with transfer = \"host\"; if that agrees, the direct link between \
                 these devices is broken, and `placebench doctor` will show it"
            }
            Stage::Resting => {
                "the activation changed after the module had made it and before it was sent: something else writes to that \
                 memory, or the hop does not wait for its device"
            }
            Stage::Computing if parting.is_small => {
                "the difference is as small as rounding: another kernel or a race on the same hardware, not a broken copy"
            }
            Stage::Computing => {
                "its input was right and its output is not: look at the module's weights on that device, and at the device"
            }
        })
    }

    fn measure(&self, parting: &Parting, reference: &str) -> String {
        let relative = parting
            .relative
            .map(|relative| format!("relative difference {}", figure(relative)));
        let length = parting.right_l2.map(|l2| format!("{reference} has l2 {}", figure(l2)));
        let known: Vec<String> = [relative, length].into_iter().flatten().collect();
        if known.is_empty() {
            String::new()
        } else {
            format!("; {}", known.join(", "))
        }
    }

    /// `bit for bit at all 7 modules × 8 steps`.
    fn extent(&self) -> String {
        let modules = counted(self.modules.len(), "module");
        let steps = counted(self.steps_compared, "step");
        let how = match &self.drift {
            None => "bit for bit".to_owned(),
            Some(drift) => format!(
                "within rounding (relative difference at most {}, at {} of {})",
                figure(drift.relative),
                drift.module,
                step_words(drift.token)
            ),
        };
        match self.end {
            End::Complete => format!("{how} at all {modules} × {steps}"),
            End::InputsDiffer { token } => format!(
                "{how} at {modules} × {steps}; at {} the two are given different tokens, so nothing more can be compared",
                step_words(token)
            ),
            End::OursEnds { token } => format!("{how} as far as it goes: it ends in {}", step_words(token)),
            End::TheirsEnds { token } => {
                format!(
                    "{how} as far as that one goes: it ends before or in {}",
                    step_words(token)
                )
            }
        }
    }

    fn faithful_hops(&self) -> String {
        let hops = match self.hops {
            0 => "it has no hop".to_owned(),
            hops => format!(
                "every activation arrived as it was sent, at all {}",
                counted(hops, "hop")
            ),
        };
        format!("is not compared with another; {hops}")
    }
}

/// `prefill token 0, hop a -> b (sim:0 -> sim:1): what arrived is all zeros; it was sent with l2 12.3`.
impl fmt::Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = step_words(self.token);
        match (&self.place, self.stage) {
            (Place::Hop(hop), _) => write!(f, "{step}, hop {hop}: what arrived {}", self.became)?,
            (Place::Module { module, device }, Stage::Resting) => write!(
                f,
                "{step}, behind module {module} ({device}): what it made changed before it was sent; it {}",
                self.became
            )?,
            (Place::Module { module, device }, _) => {
                // A value that is not finite is wrong by itself, whatever the other trail says.
                let input = match self.became {
                    Became::NotFinite { .. } => "is finite",
                    _ => "agrees",
                };
                let became = &self.became;
                write!(
                    f,
                    "{step}, module {module} ({device}): its input {input}, its output {became}"
                )?;
            }
        }
        match (self.stage, self.right_l2) {
            (Stage::Moving, Some(l2)) => write!(f, "; it was sent with l2 {}", figure(l2)),
            (Stage::Resting, Some(l2)) => write!(f, "; it was made with l2 {}", figure(l2)),
            _ => Ok(()),
        }
    }
}

/// A predicate: `is all zeros`.
impl fmt::Display for Became {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherShape => f.write_str("has another shape"),
            Self::NotFinite { values, of } => write!(f, "is NaN or infinite in {values} of {of} values"),
            Self::Zeros => f.write_str("is all zeros"),
            Self::Stale { token, at } => write!(f, "is stale: the same as at {} ({at})", step_words(*token)),
            Self::OneRow => f.write_str("is its last row in every row"),
            Self::Scaled { factor } => write!(f, "is scaled by {}", figure(*factor)),
            Self::Moved => f.write_str("holds the same values in other places"),
            Self::PartlyWrong { values, of, first } => {
                write!(f, "differs in {values} of {of} values, the first at position {first}")
            }
            Self::SamplesWrong { wrong: 0, sampled } => {
                write!(f, "has other bits, though none of {sampled} sampled values differs")
            }
            Self::SamplesWrong { wrong, sampled } => {
                write!(f, "is wrong in part: {wrong} of {sampled} sampled values differ")
            }
            Self::Other => f.write_str("is something else: every sampled value differs"),
        }
    }
}

/// `prefill token 0`, `decode token 3`.
fn step_words(token: u32) -> String {
    let phase = if token == 0 { "prefill" } else { "decode" };
    format!("{phase} token {token}")
}

fn counted<N: fmt::Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let ending = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// Three significant figures.
fn figure(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e5).contains(&magnitude) {
        format!("{value:.2e}")
    } else if magnitude >= 100.0 {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else if magnitude >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}
