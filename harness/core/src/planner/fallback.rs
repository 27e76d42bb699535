//! Fallback allocation: a later module that fits where the next one does not.

use super::amount::Amount;
use super::entry::{Entry, Model};
use super::ties::Partners;
use super::work::WorkList;

/// Finds the first entry, depth first, that takes at most `limit` bytes with its partners, and takes it out of `work`.
///
/// Modules above it are replaced by their parts there. Accelerate 1.4.0 fails where the limit is fractional; any limit
/// is fine here, and a negative one finds nothing.
pub(super) fn take_first_fitting(model: &Model<'_>, work: &mut WorkList, limit: Amount) -> Option<Entry> {
    if limit < Amount::ZERO {
        return None;
    }
    let found = first_fitting(model, work.clone(), limit)?;
    for module in above(model, found) {
        work.replace(Entry::Module(module), &model.parts(module));
    }
    work.remove(found).then_some(found)
}

/// The modules above an entry, outermost first.
fn above(model: &Model<'_>, entry: Entry) -> Vec<usize> {
    let holder = match entry {
        Entry::Module(module) => model.tree.parent(module),
        Entry::Tensor(tensor) => Some(model.tree.owner(tensor)),
    };
    let mut above: Vec<usize> = holder
        .into_iter()
        .flat_map(|module| model.tree.upwards(module))
        .collect();
    above.reverse();
    above
}

fn first_fitting(model: &Model<'_>, mut search: WorkList, limit: Amount) -> Option<Entry> {
    while let Some(entry) = search.pop_front() {
        if Partners::of(model, entry, |other| search.contains(other)).size <= limit {
            return Some(entry);
        }
        if let Entry::Module(module) = entry
            && model.is_divisible(entry)
        {
            search.push_all_front(&model.parts(module));
        }
    }
    None
}
