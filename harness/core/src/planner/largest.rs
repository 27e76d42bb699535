//! The largest layer that is still to be placed: what a device must keep room for.

use super::amount::Amount;
use super::entry::{Entry, Model};

/// The largest size among layers, and all layers of that size.
pub(super) struct Largest {
    pub(super) size: Amount,
    layers: Vec<Entry>,
}

impl Largest {
    /// Looks at `entries` and below: a layer is what has no child modules or may not be divided. Parameters that are
    /// directly in a divided module are not looked at.
    pub(super) fn of(model: &Model<'_>, entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut largest = Self {
            size: Amount::ZERO,
            layers: Vec::new(),
        };
        let mut stack: Vec<Entry> = entries.into_iter().collect();
        stack.reverse();
        while let Some(entry) = stack.pop() {
            if model.is_divisible(entry) {
                stack.extend(model.child_modules(entry).into_iter().rev());
            } else {
                largest.consider(entry, model.size(entry));
            }
        }
        largest
    }

    fn consider(&mut self, layer: Entry, size: Amount) {
        if size > self.size {
            self.size = size;
            self.layers.clear();
        }
        if size == self.size {
            self.layers.push(layer);
        }
    }

    /// Forgets the layers in `entry`. True where none is left, so that the size has to be found anew.
    pub(super) fn forget(&mut self, model: &Model<'_>, entry: Entry) -> bool {
        self.layers.retain(|&layer| !model.contains(entry, layer));
        self.layers.is_empty()
    }
}
