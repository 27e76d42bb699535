//! A fault that was injected and never struck proves nothing about the detector it was meant for.

use crate::outcome::Outcome;
use crate::planner::stages;
use crate::record::{Attempt, CaseSpec, Finding};

/// Every fault of a case must have struck in every attempt that completed. Attempts that ended otherwise may have ended
/// before its turn came.
pub(super) fn judge(case: &CaseSpec, attempts: &[&Attempt], findings: &mut Vec<Finding>) {
    let completed = attempts.iter().filter(|attempt| attempt.outcome == Outcome::Completed);
    for attempt in completed {
        let Some(struck) = &attempt.faults_struck else { continue };
        let on_one_device = stages(&attempt.places).len() < 2;
        let missed = case.faults.iter().zip(0_u32..).find(|(fault, position)| {
            // On one device there is nothing such a fault could strike, and everybody can see that.
            let has_no_place = on_one_device && fault.kind.needs_two_devices();
            !struck.contains(position) && !has_no_place
        });
        if let Some((fault, _)) = missed {
            findings.push(Finding {
                check: "faults".into(),
                message: format!("the injected fault {fault} never struck, so this case shows nothing"),
                hint: Some("look at when and where it should strike, or narrow it with placements = [\"…\"]".into()),
            });
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Fault, FaultKind, FaultPoint};
    use crate::judge::testing::{attempt, case};
    use crate::outcome::FailureClass;

    fn found(faults: &[FaultKind], attempt: &Attempt) -> Vec<Finding> {
        let case = CaseSpec {
            faults: faults
                .iter()
                .map(|kind| Fault::new(*kind, FaultPoint::default()))
                .collect(),
            ..case()
        };
        let mut findings = Vec::new();
        judge(&case, &[attempt], &mut findings);
        findings
    }

    #[test]
    fn a_fault_that_struck_is_fine_and_one_that_did_not_is_named() {
        let mut ran = attempt();
        ran.faults_struck = Some(vec![0]);
        assert_eq!(found(&[FaultKind::ZeroCopy], &ran), []);
        let findings = found(&[FaultKind::ZeroCopy, FaultKind::Leak], &ran);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].message.contains("the injected fault leak never struck"));
    }

    #[test]
    fn what_needs_two_devices_is_not_missed_on_one() {
        let mut ran = attempt();
        ran.faults_struck = Some(Vec::new());
        assert_eq!(found(&[FaultKind::ZeroCopy], &ran).len(), 1);
        for (_, device) in &mut ran.places {
            *device = crate::device::DeviceId::cpu();
        }
        assert_eq!(found(&[FaultKind::ZeroCopy], &ran), []);
        assert_eq!(found(&[FaultKind::Nan], &ran).len(), 1, "every device computes");
    }

    #[test]
    fn nothing_is_said_of_workers_that_ended_early_or_do_not_tell() {
        assert_eq!(found(&[FaultKind::ZeroCopy], &attempt()), []);
        let mut ran = attempt();
        ran.faults_struck = Some(Vec::new());
        ran.outcome = Outcome::Failed {
            failure: crate::judge::testing::failure(FailureClass::NonFinite),
        };
        assert_eq!(found(&[FaultKind::ZeroCopy], &ran), []);
    }
}
