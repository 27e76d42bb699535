//! Looking at pending snapshots: what differs ([`comparison`], [`difference`]), how it is shown ([`page`]), what is answered
//! ([`answers`]).

pub(crate) mod answers;
pub(crate) mod comparison;
pub(crate) mod difference;
pub(crate) mod page;
