//! Whether a moment is the one a fault waits for.

use placebench_core::fault::{Fault, FaultPoint, same_hop};

use super::Moment;

/// What a fault without conditions waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// A hop or a module.
    Any,
    Hop,
    Module,
    /// The moment itself is enough.
    Nothing,
}

/// Every condition that is given must hold. A stall without any strikes at the first hop or module of a generation, so
/// that "the first chance" is a place with a name.
pub(super) fn holds(fault: &Fault, moment: Moment<'_>, anchor: Anchor) -> bool {
    let at = &fault.at;
    let anchored = match anchor {
        Anchor::Hop => moment.hop.is_some(),
        Anchor::Module => moment.module.is_some(),
        Anchor::Any => at.phase.is_some() || moment.hop.is_some() || moment.module.is_some(),
        Anchor::Nothing => true,
    };
    // A module is met while loading too; a fault that is to strike there names the phase.
    let generating = at.phase.is_some() || moment.token.is_some();
    anchored && generating && of_moment(at, moment)
}

/// The conditions alone.
pub(super) fn of_moment(at: &FaultPoint, moment: Moment<'_>) -> bool {
    at.phase.is_none_or(|phase| phase == moment.phase)
        && at.token.is_none_or(|token| Some(token) == moment.token)
        && at.module.as_deref().is_none_or(|module| Some(module) == moment.module)
        && at
            .hop
            .as_deref()
            .is_none_or(|hop| moment.hop.is_some_and(|name| same_hop(hop, name)))
        && at
            .link
            .as_deref()
            .is_none_or(|link| moment.link.is_some_and(|name| same_hop(link, name)))
        && at.device.as_ref().is_none_or(|device| Some(device) == moment.device)
}
