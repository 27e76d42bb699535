//! Tidying a map: neighbours on one device are named by their common path.

/// Groups keys top-down: where all keys below a path, more than one, have the same device, the path replaces them, at
/// the end of the map.
///
/// The content is Accelerate 1.4.0's. Its *order* of several new keys follows a hash set and varies from run to run;
/// here children are visited in the order of their first key.
pub(super) fn tidy<D: Clone + PartialEq>(map: Vec<(String, D)>) -> Vec<(String, D)> {
    let mut grouping = Grouping {
        removed: vec![false; map.len()],
        added: Vec::new(),
        map: &map,
    };
    let all: Vec<usize> = (0..map.len()).collect();
    grouping.visit("", &all);
    let Grouping { removed, added, .. } = grouping;
    let kept = map.into_iter().zip(removed).filter(|(_, removed)| !removed);
    kept.map(|(pair, _)| pair).chain(added).collect()
}

struct Grouping<'a, D> {
    map: &'a [(String, D)],
    removed: Vec<bool>,
    added: Vec<(String, D)>,
}

impl<D: Clone + PartialEq> Grouping<'_, D> {
    /// Groups `below`, the positions of all keys below `path`, or the children of `path` one by one.
    fn visit(&mut self, path: &str, below: &[usize]) {
        let devices = || {
            below
                .iter()
                .filter_map(|&position| self.map.get(position))
                .map(|(_, device)| device)
        };
        let first = devices().next();
        if let Some(first) = first.filter(|first| below.len() > 1 && devices().all(|device| device == *first)) {
            self.added.push((path.to_owned(), first.clone()));
            for &position in below {
                if let Some(removed) = self.removed.get_mut(position) {
                    *removed = true;
                }
            }
            return;
        }
        for (child, below) in self.children(path, below) {
            self.visit(&child, &below);
        }
    }

    /// The paths one component below `path`, in order of their first key, each with the keys below it.
    fn children(&self, path: &str, below: &[usize]) -> Vec<(String, Vec<usize>)> {
        let start = if path.is_empty() { 0 } else { path.len() + 1 };
        let mut children: Vec<(String, Vec<usize>)> = Vec::new();
        let mut position_of = std::collections::HashMap::new();
        for &position in below {
            let Some((key, _)) = self.map.get(position) else {
                continue;
            };
            let rest = key.get(start..).unwrap_or("");
            let Some((component, _)) = rest.split_once('.') else {
                continue;
            };
            let child = key.get(..start + component.len()).unwrap_or(key);
            let slot = *position_of.entry(child).or_insert_with(|| {
                children.push((child.to_owned(), Vec::new()));
                children.len() - 1
            });
            if let Some((_, keys)) = children.get_mut(slot) {
                keys.push(position);
            }
        }
        children
    }
}

#[cfg(test)]
mod tests {
    use super::tidy;

    fn tidied(map: &[(&str, u32)]) -> Vec<(String, u32)> {
        tidy(map.iter().map(|&(key, device)| (key.to_owned(), device)).collect())
    }

    fn pairs(map: &[(&str, u32)]) -> Vec<(String, u32)> {
        map.iter().map(|&(key, device)| (key.to_owned(), device)).collect()
    }

    #[test]
    fn one_device_becomes_the_root() {
        assert_eq!(tidied(&[("a", 1), ("b.c", 1)]), pairs(&[("", 1)]));
    }

    #[test]
    fn groups_go_to_the_end() {
        let map = [("a.x", 0), ("a.y", 0), ("b", 1), ("c.d.e", 0), ("c.d.f", 0), ("c.g", 1)];
        assert_eq!(tidied(&map), pairs(&[("b", 1), ("c.g", 1), ("a", 0), ("c.d", 0)]));
    }

    #[test]
    fn a_single_key_keeps_its_name() {
        assert_eq!(tidied(&[("a.b", 0)]), pairs(&[("a.b", 0)]));
        assert_eq!(tidied(&[]), pairs(&[]));
    }
}
