//! What an audited generation notes: kept here until the step, or its stage, is over.

use placebench_core::audit::{AuditEntry, AuditStep, Changed, Digest, Side, TensorPrint};
use placebench_core::outcome::Hop;
use placebench_core::protocol::EventKind;

use crate::Context;
use crate::context::NamedHop;

/// The step under way.
#[derive(Debug, Default)]
pub(crate) struct Auditor {
    input: Option<(Digest, u64)>,
    entries: Vec<AuditEntry>,
}

/// Audits. Of a context that does not audit, none of these does anything; what is noted comes from whoever asked
/// [`Context::is_audited`] first, because making a print is what costs.
impl Context {
    /// From here on modules and hops are noted.
    #[must_use]
    pub fn audited(mut self) -> Self {
        self.auditor = Some(Box::default());
        self
    }

    /// Whether prints of tensors are wanted.
    #[must_use]
    pub fn is_audited(&self) -> bool {
        self.auditor.is_some()
    }

    /// A step begins that was given these tokens.
    pub fn audit_input(&mut self, ids: &[u32]) {
        if let Some(auditor) = &mut self.auditor {
            auditor.input = Some((Digest::of_tokens(ids), ids.len() as u64));
        }
    }

    /// What the module at that position of [`Self::set_places`] made.
    pub fn audit_output(&mut self, module: usize, print: TensorPrint) {
        let Some((name, device)) = self.modules.get(module) else {
            return;
        };
        let entry = AuditEntry {
            at: name.clone(),
            side: Side::Output,
            device: device.clone(),
            changed: None,
            print,
        };
        self.note(entry);
    }

    /// What the hop at that position of [`Self::set_places`] is about to carry. It is told at once, with all before it: the
    /// hop may never end.
    pub fn audit_sent(&mut self, hop: usize, print: TensorPrint) {
        let Some(NamedHop { hop, name, .. }) = self.hops.get(hop) else {
            return;
        };
        let entry = hop_entry(hop, name, Side::Sent, print, None);
        self.note(entry);
        self.tell_audit();
    }

    /// What it delivered, and how that differs from what was sent.
    pub fn audit_arrived(&mut self, hop: usize, print: TensorPrint, changed: Option<Changed>) {
        let Some(NamedHop { hop, name, .. }) = self.hops.get(hop) else {
            return;
        };
        let entry = hop_entry(hop, name, Side::Arrived, print, changed);
        self.note(entry);
    }

    fn note(&mut self, entry: AuditEntry) {
        if let Some(auditor) = &mut self.auditor {
            auditor.entries.push(entry);
        }
    }

    /// Tells what has been noted since it was told last: for whoever ends a generation before its token.
    pub fn tell_audit(&mut self) {
        let (generation, token) = (self.generation, self.token.unwrap_or(0));
        let Some(auditor) = &mut self.auditor else { return };
        if auditor.entries.is_empty() {
            return;
        }
        let (input, input_tokens) = auditor.input.unwrap_or((Digest::of_tokens(&[]), 0));
        let step = AuditStep {
            generation,
            token,
            input,
            input_tokens,
            entries: std::mem::take(&mut auditor.entries),
        };
        self.emit(EventKind::Audited(step));
    }
}

fn hop_entry(hop: &Hop, name: &str, side: Side, print: TensorPrint, changed: Option<Changed>) -> AuditEntry {
    let device = match side {
        Side::Arrived => &hop.to_device,
        Side::Sent | Side::Output => &hop.from_device,
    };
    AuditEntry {
        at: name.to_owned(),
        side,
        device: device.clone(),
        changed,
        print,
    }
}

/// How two tensors of the same type and shape differ, byte by byte in elements of that size; nothing where they do not.
#[must_use]
pub fn changed(sent: &[u8], arrived: &[u8], element_bytes: usize) -> Option<Changed> {
    if sent == arrived {
        return None;
    }
    let size = element_bytes.max(1);
    let pairs = sent.chunks(size).zip(arrived.chunks(size));
    let mut differing = pairs.enumerate().filter(|(_, (sent, arrived))| sent != arrived);
    let (first, _) = differing.next()?;
    Some(Changed {
        elements: 1 + differing.count() as u64,
        first: first as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differing_elements_are_counted_whole() {
        let sent = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(changed(&sent, &sent, 2), None);
        let arrived = [1, 2, 0, 0, 5, 6, 7, 0];
        assert_eq!(changed(&sent, &arrived, 2), Some(Changed { elements: 2, first: 1 }));
        assert_eq!(changed(&sent, &arrived, 4), Some(Changed { elements: 2, first: 0 }));
    }
}
