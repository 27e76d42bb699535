//! Memory that grows from generation to generation of one process.
//!
//! What is in use after a generation has given back all that was its own must not depend on how many there have been. A
//! first generation may leave behind what is made once (tables, workspaces), so growth counts only where no generation is
//! without it.

use crate::device::DeviceId;
use crate::record::{Attempt, Finding};
use crate::units::Bytes;

/// Fewer say nothing: one step up may be what is made once.
const FEWEST_GENERATIONS: usize = 3;

/// The device that grew most, if one grew with every generation.
pub(super) fn judge(attempts: &[&Attempt], findings: &mut Vec<Finding>) {
    let grown = attempts.iter().flat_map(|attempt| growth(attempt));
    if let Some(worst) = grown.max_by_key(|growth| growth.last.saturating_sub(growth.first)) {
        let (steps, more) = (worst.generations - 1, worst.last.saturating_sub(worst.first));
        findings.push(Finding {
            check: "leak".into(),
            message: format!(
                "what stays in use on {} grows with each of {} generations of one process, from {} to {}: {} a generation",
                worst.device,
                worst.generations,
                Bytes(worst.first),
                Bytes(worst.last),
                Bytes(more / steps as u64)
            ),
            hint: Some("something is kept that belongs to a generation that is over: its cache is the usual suspect".into()),
        });
    }
}

struct Growth<'a> {
    device: &'a DeviceId,
    generations: usize,
    first: u64,
    last: u64,
}

/// Devices on which every generation of a process left more than the one before.
fn growth(attempt: &Attempt) -> Vec<Growth<'_>> {
    let held = &attempt.held_bytes;
    let Some(last) = held.last().filter(|_| held.len() >= FEWEST_GENERATIONS) else {
        return Vec::new();
    };
    let on = |device: &DeviceId| -> Vec<u64> {
        let bytes = held.iter().map(|devices| {
            let here = devices.iter().find(|figure| figure.device == *device);
            here.map_or(0, |figure| figure.bytes.0)
        });
        bytes.collect()
    };
    let grown = last.iter().filter_map(|figure| {
        let bytes = on(&figure.device);
        let grows = bytes.windows(2).all(|pair| pair[0] < pair[1]);
        grows.then(|| Growth {
            device: &figure.device,
            generations: bytes.len(),
            first: bytes.first().copied().unwrap_or(0),
            last: figure.bytes.0,
        })
    });
    grown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceBytes;
    use crate::judge::testing::attempt;

    /// Findings on a process that held so much on `sim:0` after each generation.
    fn found(held: &[u64]) -> Vec<Finding> {
        let device = DeviceId::new("sim:0").unwrap();
        let mut ran = attempt();
        ran.held_bytes = held
            .iter()
            .map(|bytes| {
                vec![
                    DeviceBytes {
                        device: DeviceId::cpu(),
                        bytes: Bytes(7),
                    },
                    DeviceBytes {
                        device: device.clone(),
                        bytes: Bytes(*bytes),
                    },
                ]
            })
            .collect();
        let mut findings = Vec::new();
        judge(&[&ran], &mut findings);
        findings
    }

    #[test]
    fn growth_with_every_generation_is_a_leak_and_names_the_device() {
        let findings = found(&[1024, 2048, 3072, 4096]);
        insta::assert_snapshot!(findings[0].message, @"what stays in use on sim:0 grows with each of 4 generations of one process, from 1.00 KiB to 4.00 KiB: 1.00 KiB a generation");
    }

    #[test]
    fn what_is_made_once_or_comes_and_goes_is_no_leak() {
        assert_eq!(found(&[1024, 4096, 4096, 4096]), []);
        assert_eq!(found(&[1024, 2048, 1024, 2048]), []);
        assert_eq!(found(&[1024, 2048]), [], "too few to tell");
        assert_eq!(found(&[]), []);
    }
}
