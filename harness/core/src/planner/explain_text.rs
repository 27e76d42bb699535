//! Explanations in words.

use std::fmt;

use super::amount::Amount;
use super::device::PlanDevice;
use super::explain::{Balancing, Explanation, ExplanationStep, PlacementTrial, TrialOutcome};
use super::request::Dialect;

/// Bytes with their digits in groups of three, since explanations compare exact numbers.
struct Exact(Amount);

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.0.to_string();
        let digits_at = plain.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
        let (sign, rest) = plain.split_at(digits_at);
        let (whole, fraction) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
        f.write_str(sign)?;
        for (position, digit) in whole.chars().enumerate() {
            if position > 0 && (whole.len() - position).is_multiple_of(3) {
                f.write_str(" ")?;
            }
            write!(f, "{digit}")?;
        }
        f.write_str(fraction)
    }
}

/// A device in a sentence.
struct Named(PlanDevice);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            PlanDevice::Accelerator(index) => write!(f, "accelerator {index}"),
            other => write!(f, "{other}"),
        }
    }
}

/// A path in a sentence.
struct Path<'a>(&'a str);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => f.write_str("the whole model"),
            path => write!(f, "`{path}`"),
        }
    }
}

fn paths(paths: &[String]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| Path(path).to_string()).collect();
    paths.join(" and ")
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}. {step}", number + 1)?;
        }
        Ok(())
    }
}

impl fmt::Display for ExplanationStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameModule { module, first } => write!(
                f,
                "{} is the same module as {}, under which it is placed.",
                Path(module),
                Path(first)
            ),
            Self::Size {
                module,
                bytes,
                counted_as,
            } => {
                write!(f, "{} takes {} bytes", Path(module), Exact(*bytes))?;
                if counted_as.is_empty() {
                    return f.write_str(".");
                }
                write!(f, "; what it shares counts as {}.", paths(counted_as))
            }
            Self::Balanced(balancing) => balancing.fmt(f),
            Self::Budget {
                device,
                given,
                balanced,
            } if given == balanced => {
                write!(f, "The budget of {} is {} bytes.", Named(*device), Exact(*balanced))
            }
            Self::Budget {
                device,
                given,
                balanced,
            } => write!(
                f,
                "The budget of {} is {} bytes; balancing leaves {} of them.",
                Named(*device),
                Exact(*given),
                Exact(*balanced)
            ),
            Self::Tried { trial, result } => tried(f, trial, result),
            Self::Mapped { key, device } => {
                write!(f, "In the device map, {} is on {}.", Path(key), Named(*device))
            }
            Self::NotCovered { module } => write!(f, "No key of the device map covers {}.", Path(module)),
        }
    }
}

impl fmt::Display for Balancing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.spares_only_device {
            return f.write_str("The only accelerator may hold 0.9 of its free memory.");
        }
        let (block, other) = match self.dialect {
            Dialect::Accelerate => ("first undividable block", "mean leaf"),
            Dialect::Transformers5 => ("largest undividable block", "largest direct holder"),
        };
        write!(
            f,
            "Balanced over {}, each but the last may hold {} / {} + 1.25 x max({block} {}, {other} {}) = {} + {} = {} \
             bytes",
            Accelerators(self.accelerators),
            Exact(self.total),
            self.divided_by,
            Exact(self.block),
            Exact(self.other),
            Exact(self.total.floor_div(self.divided_by)),
            Exact(self.margin),
            Exact(self.cap),
        )?;
        f.write_str(if self.low_zero {
            ", and the first only what the others cannot."
        } else {
            "."
        })
    }
}

struct Accelerators(usize);

impl fmt::Display for Accelerators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 accelerator"),
            count => write!(f, "{count} accelerators"),
        }
    }
}

fn tried(f: &mut fmt::Formatter<'_>, trial: &PlacementTrial, result: &TrialOutcome) -> fmt::Result {
    write!(f, "{} ({} bytes", Path(&trial.entry), Exact(trial.bytes))?;
    if !trial.tied.is_empty() {
        write!(
            f,
            ", {} with {}, which it is tied to",
            Exact(trial.bytes_with_ties),
            paths(&trial.tied)
        )?;
    }
    write!(f, ") is tried on {}", Named(trial.device))?;
    let Some(room) = &trial.room else {
        return f.write_str(": there is always room, and it stays.");
    };
    let sum = room.used + trial.bytes_with_ties;
    let comparison = if sum <= room.limit { "at most" } else { "more than" };
    write!(
        f,
        ": {} used + {} = {} is {comparison} {}",
        Exact(room.used),
        Exact(trial.bytes_with_ties),
        Exact(sum),
        Exact(room.limit)
    )?;
    if room.reserve > Amount::ZERO {
        let layer = room.reserve_for.as_deref().map_or("the largest layer", |path| path);
        write!(
            f,
            " (budget {} - {} kept for the largest layer outside, {})",
            Exact(room.budget),
            Exact(room.reserve),
            Path(layer)
        )?;
    }
    match result {
        TrialOutcome::Placed => f.write_str(", so it fits and stays."),
        TrialOutcome::Divided => f.write_str(", so it does not fit, and its parts are tried one by one."),
        TrialOutcome::PartnerDivided { partner } => write!(
            f,
            ", but it would fit alone, so {} is divided and it is tried again.",
            Path(partner)
        ),
        TrialOutcome::Overtaken { by } => write!(f, ", so it does not fit, and {} goes first.", Path(by)),
        TrialOutcome::DeviceClosed => write!(
            f,
            ", so it does not fit and is not divided: {} is closed because of it.",
            Named(trial.device)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        let shown = |amount| Exact(amount).to_string();
        assert_eq!(shown(Amount::Whole(0)), "0");
        assert_eq!(shown(Amount::Whole(-1_234_567)), "-1 234 567");
        assert_eq!(shown(Amount::Whole(100_000)), "100 000");
        assert_eq!(shown(Amount::Fractional(1234.125)), "1 234.125");
    }
}
