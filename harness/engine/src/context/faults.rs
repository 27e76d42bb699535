//! What engines ask of the injected faults besides the places they enter.

use std::time::{Duration, Instant};

use placebench_core::breadcrumb::PlaceRef;
use placebench_core::fault::FaultKind;
use placebench_core::outcome::{FailureClass, WorkerFailure};
use placebench_core::protocol::EventKind;
use placebench_core::units::Bytes;

use super::Context;
use crate::faults::{Leak, Moment, TokenEffect};

/// How much later than asked for a sleep may end on a machine that is not overloaded: Linux gives a timer 50 µs of slack.
const SLEEP_GRAIN: Duration = Duration::from_micros(200);

impl Context {
    /// Before the token at the current position is chosen.
    #[must_use]
    pub fn fault_at_token(&self) -> TokenEffect {
        self.faults.at_token(self.moment())
    }

    /// The step's token is chosen and its device has been waited for: an injected fault may make it last longer.
    pub(super) fn fault_at_end_of_step(&mut self) {
        // Of several sequences that are stepped together the first ends the step.
        let Some(began) = self.step_began.take() else { return };
        let more = self.faults.at_end_of_step(self.moment(), began.elapsed());
        // A step may take less than the system's own grain of sleep, so that its last part is spun.
        let until = Instant::now() + more;
        if let Some(asleep) = more.checked_sub(SLEEP_GRAIN) {
            std::thread::sleep(asleep);
        }
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }

    /// Whether an allocation that would bring its device to `used` bytes must be refused as if memory had run out: the
    /// bytes that are then said to be allowed. The module is the one that was entered last.
    #[must_use]
    pub fn fault_at_allocation(&self, used: Bytes) -> Option<Bytes> {
        let entered = match self.place {
            Some(PlaceRef::Module(index)) => self.modules.get(index),
            Some(PlaceRef::Hop(_)) | None => None,
        };
        let moment = Moment {
            module: entered.map(|(module, _)| module.as_str()),
            device: entered.map(|(_, device)| device),
            ..self.moment()
        };
        self.faults.at_allocation(moment, used)
    }

    /// Whether the input of the current step is left behind on another device than the first module's.
    #[must_use]
    pub fn fault_at_input(&self) -> bool {
        self.faults.at_input(self.moment())
    }

    /// What must be kept of the generation that has just ended.
    #[must_use]
    pub fn fault_at_end_of_generation(&self) -> Option<Leak> {
        self.faults.at_end_of_generation()
    }

    /// Moves modules elsewhere than was planned, where a fault asks for it; see [`crate::faults::FaultPlan::displace`].
    pub fn displace<D: Clone + PartialEq>(&self, names: &[String], homes: &mut [D], host: &D) {
        self.faults.displace(names, homes, host);
    }

    /// Whether a fault of that kind was asked for.
    #[must_use]
    pub fn fault_present(&self, kind: FaultKind) -> bool {
        self.faults.present(kind)
    }

    /// Whether a fault without conditions was asked for, at the moment when it takes effect.
    #[must_use]
    pub fn fault_strikes(&self, kind: FaultKind) -> bool {
        self.faults.strikes(kind)
    }

    /// After the model was opened: refuses faults at places that this placement does not have.
    pub(crate) fn check_faults(&self) -> Result<(), WorkerFailure> {
        let modules: Vec<&str> = self.modules.iter().map(|(module, _)| module.as_str()).collect();
        let hops: Vec<&str> = self.hops.iter().map(|named| named.name.as_str()).collect();
        self.faults
            .check_places(&modules, &hops)
            .map_err(|message| self.failure(FailureClass::RequestInvalid, message))
    }

    /// Says which faults have struck.
    pub(crate) fn report_faults(&mut self) {
        let struck = self.faults.struck();
        self.emit(EventKind::FaultsStruck { struck });
    }

    pub(super) fn moment(&self) -> Moment<'_> {
        Moment {
            phase: self.phase,
            token: self.token,
            module: None,
            hop: None,
            link: None,
            device: None,
        }
    }
}
