//! `--inject KIND:FROM->TO`: how a person sees that doctor would find a broken link.

use placebench_core::device::DeviceId;
use placebench_core::doctor::probe::hop_name;
use placebench_core::exit_code::ExitCode;
use placebench_core::fault::{Fault, FaultKind, FaultPoint};
use placebench_core::placement::Transfer;

use crate::error::CliError;

/// What can be wrong with a copy.
const KINDS: [FaultKind; 6] = [
    FaultKind::ZeroCopy,
    FaultKind::StaleCopy,
    FaultKind::CorruptCopy,
    FaultKind::Stall,
    FaultKind::SlowLink,
    FaultKind::Crash,
];

/// Delay of each copy over a slow link, in seconds.
const SLOW_S: f64 = 0.1;

/// Reads `zero_copy:sim:0->sim:1` or `stall:sim:0->host->sim:1`.
pub(crate) fn parse(text: &str) -> Result<Fault, CliError> {
    let usage = |message: String| CliError::with_code(ExitCode::Usage, format!("--inject `{text}`: {message}"));
    let known: Vec<&str> = KINDS.iter().map(|kind| kind.as_str()).collect();
    let (kind, link) = text
        .split_once(':')
        .ok_or_else(|| usage("write KIND:FROM->TO".to_owned()))?;
    let kind = KINDS
        .into_iter()
        .find(|known| known.as_str() == kind)
        .ok_or_else(|| usage(format!("the kind is one of {}", known.join(", "))))?;
    let ends: Vec<&str> = link.split("->").map(str::trim).collect();
    let (from, to, transfer) = match ends.as_slice() {
        [from, to] => (*from, *to, Transfer::Direct),
        [from, "host", to] => (*from, *to, Transfer::Host),
        _ => return Err(usage("write FROM->TO, or FROM->host->TO".to_owned())),
    };
    let device = |name: &str| DeviceId::new(name).map_err(|error| usage(error.to_string()));
    let at = FaultPoint {
        hop: Some(hop_name(&device(from)?, &device(to)?, transfer)),
        // The first copy is right: there must be something to repeat.
        token: (kind == FaultKind::StaleCopy).then_some(1),
        ..FaultPoint::default()
    };
    Ok(Fault {
        delay_s: (kind == FaultKind::SlowLink).then_some(SLOW_S),
        ..Fault::new(kind, at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_ways_are_read() {
        let fault = parse("stall: 0 -> host -> sim:1").unwrap();
        assert_eq!(fault.kind, FaultKind::Stall);
        assert_eq!(fault.at.hop.as_deref(), Some("cuda:0 -> host -> sim:1"));
        let fault = parse("stale_copy:cpu->sim:1").unwrap();
        assert_eq!(
            (fault.at.hop.as_deref(), fault.at.token),
            (Some("cpu -> sim:1"), Some(1))
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "stall",
            "nan:cpu->cpu",
            "stall:cpu",
            "stall:cpu->x",
            "stall:cpu->disk->cpu",
            "stall:a->b->c->d",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
