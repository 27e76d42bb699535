//! Which links a placed decoder uses, and how: settled once, before the first activation moves.

use std::collections::BTreeMap;
use std::time::Duration;

use placebench_core::outcome::{FailureClass, WorkerFailure};
use placebench_core::placement::Transfer;
use placebench_core::protocol::LinkFacts;
use placebench_engine::Context;
use placebench_engine::faults::HopEffect;

use super::decoder::Decoder;
use crate::device::link::{Link, LinkError, PeerAccess};
use crate::device::{Ledger, Use};

/// How long the patterns of one link may take. They are as large as the activations of the prompt, which take
/// milliseconds on any link that works.
pub const LINK_DEADLINE: Duration = Duration::from_secs(5);

/// An ordered pair of devices with hops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct UsedLink {
    link: Link,
    /// Number of the first hop over it, which stands for it in the breadcrumb and in faults.
    hop: usize,
    /// Rows of the largest activation it carries.
    rows: usize,
}

impl Decoder {
    /// Finds out for every ordered pair of devices with a hop whether activations can go directly, and decides to stage
    /// them through the host where they cannot. `rows` is the length of the prompt: what the largest hop carries.
    ///
    /// With `transfer = "host"` there is nothing to find out.
    ///
    /// # Errors
    /// When copies of a link arrive wrong through the host too, or a device has no room for the pattern.
    pub fn settle_links(
        &mut self,
        rows: usize,
        ledger: &Ledger,
        context: &mut Context,
    ) -> Result<Vec<LinkFacts>, WorkerFailure> {
        let mut settled = Vec::new();
        let mut transfers = BTreeMap::new();
        for used in self.links(rows) {
            let facts = self.settle(used, ledger, context)?;
            transfers.insert(used.link, facts.transfer);
            settled.push(facts);
        }
        self.transfers = transfers;
        Ok(settled)
    }

    /// The ordered pairs of devices with hops, in the order of their first ones. All rows of the prompt go to a layer, only
    /// the last one to the norm and the head.
    fn links(&self, rows: usize) -> Vec<UsedLink> {
        let mut used: Vec<UsedLink> = Vec::new();
        for (index, pair) in self.layout.homes.windows(2).enumerate() {
            let ([before, after], Some(Some(hop))) = (pair, self.hop_into.get(index + 1)) else {
                continue;
            };
            let link = Link {
                from: before.runs_on,
                to: after.runs_on,
            };
            let rows = if index < self.config.num_layers { rows.max(1) } else { 1 };
            match used.iter_mut().find(|known| known.link == link) {
                Some(known) => known.rows = known.rows.max(rows),
                None => used.push(UsedLink { link, hop: *hop, rows }),
            }
        }
        used
    }

    fn settle(&self, used: UsedLink, ledger: &Ledger, context: &mut Context) -> Result<LinkFacts, WorkerFailure> {
        let UsedLink { link, hop, rows } = used;
        let faults = context.enter_link_check(hop);
        let facts = |transfer, verified, reason: Option<String>| LinkFacts {
            from: self.devices.id(link.from).clone(),
            to: self.devices.id(link.to).clone(),
            transfer,
            verified,
            reason,
        };
        if self.layout.transfer == Transfer::Host {
            return Ok(facts(Transfer::Host, false, None));
        }
        // One value, one token, the whole prompt: broken links have been seen that spare one of them.
        let width = self.config.hidden_size;
        let sizes = [1, width, rows * width];
        let bytes = (sizes[2] * size_of::<f32>()) as u64;
        for slot in [link.from, link.to] {
            // Twice: while a pattern arrives, the sender's memory is taken again.
            ledger.charge(context, slot, Use::Activations, 2 * bytes, "the check of a link")?;
        }
        let direct = match self.devices.enable_peer_access(link) {
            PeerAccess::NotNeeded | PeerAccess::Enabled => {
                let strike = move || faults.strike();
                self.devices
                    .verify(link, Transfer::Direct, &sizes, LINK_DEADLINE, strike)
            }
            PeerAccess::Refused(reason) => Err(LinkError::NoPeerAccess(reason)),
        };
        let settled = match direct {
            Ok(()) => Ok(facts(Transfer::Direct, true, None)),
            Err(reason) => self
                .devices
                .verify(link, Transfer::Host, &sizes, LINK_DEADLINE, || HopEffect::None)
                .map(|()| facts(Transfer::Host, true, Some(reason.to_string())))
                .map_err(|staged| {
                    let (from, to) = (self.devices.id(link.from), self.devices.id(link.to));
                    let message = format!(
                        "nothing arrives unchanged on {to} from {from}: directly, {reason}; through the host, {staged}; \
                         look at the kernel's log and at `placebench doctor`"
                    );
                    context.failure(FailureClass::Internal, message)
                }),
        };
        for slot in [link.from, link.to] {
            ledger.release(slot, Use::Activations, 2 * bytes);
        }
        settled
    }
}
