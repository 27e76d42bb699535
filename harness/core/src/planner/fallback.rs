//! Fallback allocation: a later module that fits where the next one does not.

use std::collections::VecDeque;

use super::amount::Amount;
use super::entry::{Entry, Model};
use super::place::replace;
use super::ties::Partners;

/// Finds the first entry, depth first, that takes at most `limit` bytes with its partners, and takes it out of `work`.
///
/// Modules above it are replaced by their parts there. Accelerate 1.4.0 fails where the limit is fractional; any limit
/// is fine here, and a negative one finds nothing.
pub(super) fn take_first_fitting(model: &Model<'_>, work: &mut VecDeque<Entry>, limit: Amount) -> Option<Entry> {
    if limit < Amount::ZERO {
        return None;
    }
    let found = first_fitting(model, work.clone(), limit)?;
    let path = model.name(found);
    for (dot, _) in path.match_indices('.') {
        let above = path.get(..dot).and_then(|path| model.tree.module_index(path));
        if let Some(module) = above {
            let entry = Entry::Module(module);
            if work.contains(&entry) {
                replace(work, entry, model.parts(module));
            }
        }
    }
    let position = work.iter().position(|&entry| entry == found)?;
    work.remove(position)
}

fn first_fitting(model: &Model<'_>, mut search: VecDeque<Entry>, limit: Amount) -> Option<Entry> {
    while let Some(entry) = search.pop_front() {
        if Partners::of(model, entry, search.iter()).size <= limit {
            return Some(entry);
        }
        if let Entry::Module(module) = entry
            && model.is_divisible(entry)
        {
            for part in model.parts(module).into_iter().rev() {
                search.push_front(part);
            }
        }
    }
    None
}
