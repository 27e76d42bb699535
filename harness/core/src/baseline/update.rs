//! New figures put into a baseline.

use std::collections::BTreeMap;

use super::{Baseline, BaselineCase, Source};

/// A case that is to be saved.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseUpdate {
    /// Its name.
    pub name: String,
    /// Where its figures come from.
    pub source: Source,
    /// Its figures.
    pub case: BaselineCase,
}

/// What became of a baseline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// Cases that were not there.
    pub added: Vec<String>,
    /// Cases that have other figures now.
    pub renewed: Vec<String>,
    /// Cases of which everything that is counted is the same, and nothing is timed: they stay as they were, so that saving the
    /// same again changes no file.
    pub unchanged: Vec<String>,
    /// Cases that are no longer in the suite.
    pub removed: Vec<String>,
    /// Cases this run did not select.
    pub kept: Vec<String>,
}

impl Baseline {
    /// Puts cases in. `is_gone` says of a case that is there, and not among the new ones, whether its suite no longer has it.
    pub fn update(&mut self, cases: Vec<CaseUpdate>, is_gone: &dyn Fn(&str, &BaselineCase) -> bool) -> Update {
        let mut update = Update::default();
        let before = std::mem::take(&mut self.cases);
        let mut after: BTreeMap<String, (Source, BaselineCase)> = BTreeMap::new();
        for (name, case) in before {
            let source = self.source_of(&case);
            after.insert(name, (source, case));
        }
        let new: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
        for CaseUpdate { name, source, case } in cases {
            match after.get(&name) {
                Some((_, known)) if !self.timings && same_figures(known, &case) => {
                    update.unchanged.push(name);
                    continue;
                }
                Some(_) => update.renewed.push(name.clone()),
                None => update.added.push(name.clone()),
            }
            after.insert(name, (source, case));
        }
        after.retain(|name, (_, case)| {
            if new.contains(name) {
                return true;
            }
            let list = match is_gone(name, case) {
                true => &mut update.removed,
                false => &mut update.kept,
            };
            list.push(name.clone());
            !update.removed.contains(name)
        });
        self.sources.clear();
        for (name, (source, case)) in after {
            let position = match self.sources.iter().position(|known| *known == source) {
                Some(position) => position,
                None => {
                    self.sources.push(source);
                    self.sources.len() - 1
                }
            };
            self.cases.insert(
                name,
                BaselineCase {
                    source: position,
                    ..case
                },
            );
        }
        update
    }
}

fn same_figures(known: &BaselineCase, new: &BaselineCase) -> bool {
    let without_source = |case: &BaselineCase| BaselineCase {
        source: 0,
        ..case.clone()
    };
    without_source(known) == without_source(new)
}
