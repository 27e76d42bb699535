//! The work list: what is still to be placed, in order.

use super::entry::Entry;

/// Entries in order. Taking one out and replacing one by its parts cost the same anywhere in the list, and so does
/// asking whether an entry is in it, however long the list is.
#[derive(Clone)]
pub(super) struct WorkList {
    modules: usize,
    /// The entry before and after each entry, by slot; the last slot is both ends of the ring.
    links: Vec<Option<Link>>,
}

#[derive(Clone, Copy)]
struct Link {
    before: usize,
    after: usize,
}

impl WorkList {
    /// A list of `entries`, each at most once, of a tree with that many modules and tensors.
    pub(super) fn new(modules: usize, tensors: usize, entries: &[Entry]) -> Self {
        let ends = modules + tensors;
        let mut links = vec![None; ends + 1];
        if let Some(link) = links.last_mut() {
            *link = Some(Link {
                before: ends,
                after: ends,
            });
        }
        let mut list = Self { modules, links };
        list.insert_before(ends, entries);
        list
    }

    fn ends(&self) -> usize {
        self.links.len() - 1
    }

    fn slot(&self, entry: Entry) -> usize {
        match entry {
            Entry::Module(module) => module,
            Entry::Tensor(tensor) => self.modules + tensor,
        }
    }

    fn entry(&self, slot: usize) -> Entry {
        match slot.checked_sub(self.modules) {
            None => Entry::Module(slot),
            Some(tensor) => Entry::Tensor(tensor),
        }
    }

    fn link(&self, slot: usize) -> Option<Link> {
        self.links.get(slot).copied().flatten()
    }

    pub(super) fn contains(&self, entry: Entry) -> bool {
        self.link(self.slot(entry)).is_some()
    }

    /// The entries in order.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        let next = |&slot: &usize| {
            self.link(slot)
                .map(|link| link.after)
                .filter(|&slot| slot != self.ends())
        };
        std::iter::successors(next(&self.ends()), next).map(|slot| self.entry(slot))
    }

    pub(super) fn pop_front(&mut self) -> Option<Entry> {
        let first = self.link(self.ends())?.after;
        if first == self.ends() {
            return None;
        }
        let entry = self.entry(first);
        self.remove(entry);
        Some(entry)
    }

    pub(super) fn push_front(&mut self, entry: Entry) {
        self.push_all_front(&[entry]);
    }

    /// Puts `entries` in front, the first of them foremost.
    pub(super) fn push_all_front(&mut self, entries: &[Entry]) {
        if let Some(link) = self.link(self.ends()) {
            self.insert_before(link.after, entries);
        }
    }

    /// Takes an entry out. False where it is not in the list.
    pub(super) fn remove(&mut self, entry: Entry) -> bool {
        let slot = self.slot(entry);
        let Some(link) = self.links.get_mut(slot).and_then(Option::take) else {
            return false;
        };
        self.connect(link.before, link.after);
        true
    }

    /// Puts `parts` where `entry` is in the list.
    pub(super) fn replace(&mut self, entry: Entry, parts: &[Entry]) {
        let after = self.link(self.slot(entry)).map(|link| link.after);
        if let Some(after) = after {
            self.remove(entry);
            self.insert_before(after, parts);
        }
    }

    fn insert_before(&mut self, after: usize, entries: &[Entry]) {
        for &entry in entries {
            let slot = self.slot(entry);
            let Some(before) = self.link(after).map(|link| link.before) else {
                return;
            };
            if let Some(link) = self.links.get_mut(slot) {
                *link = Some(Link { before, after });
            }
            self.connect(before, slot);
            self.connect(slot, after);
        }
    }

    fn connect(&mut self, before: usize, after: usize) {
        if let Some(Some(link)) = self.links.get_mut(before) {
            link.after = after;
        }
        if let Some(Some(link)) = self.links.get_mut(after) {
            link.before = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(list: &WorkList) -> String {
        let short = |entry| match entry {
            Entry::Module(module) => format!("m{module}"),
            Entry::Tensor(tensor) => format!("t{tensor}"),
        };
        list.iter().map(short).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn entries_come_and_go_anywhere() {
        use Entry::{Module, Tensor};
        let mut list = WorkList::new(6, 3, &[Module(1), Module(2), Tensor(0)]);
        assert_eq!(shown(&list), "m1 m2 t0");
        list.replace(Module(2), &[Tensor(1), Module(3), Module(4)]);
        assert_eq!(shown(&list), "m1 t1 m3 m4 t0");
        assert!(list.remove(Module(3)) && !list.remove(Module(3)));
        assert!(!list.contains(Module(3)) && list.contains(Tensor(1)));
        assert_eq!(list.pop_front(), Some(Module(1)));
        list.push_all_front(&[Module(5), Module(1)]);
        list.replace(Tensor(0), &[]);
        list.replace(Tensor(2), &[Module(2)]);
        assert_eq!(shown(&list), "m5 m1 t1 m4");
        while list.pop_front().is_some() {}
        assert_eq!(shown(&list), "");
        list.push_front(Tensor(2));
        assert_eq!(shown(&list), "t2");
    }
}
