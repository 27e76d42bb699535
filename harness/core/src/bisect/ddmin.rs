//! Zeller and Hildebrandt's ddmin: the general way where nothing better is known.

use super::ProbeResult;
use super::oracle::Halt;

/// Reduces a failing set until no part of it (at the finest: no single element) can be left out. `test` says what becomes of
/// a subset. Of subsets that fail the first is taken, so the order of `set` should put what belongs together side by side.
pub(super) fn ddmin<T: Clone>(
    set: Vec<T>,
    mut test: impl FnMut(&[T]) -> Result<ProbeResult, Halt>,
) -> Result<Vec<T>, Halt> {
    let mut set = set;
    let mut parts = 2;
    while set.len() >= 2 {
        let size = set.len().div_ceil(parts.min(set.len()));
        let chunks: Vec<Vec<T>> = set.chunks(size).map(<[T]>::to_vec).collect();
        let subset = first_failing(&chunks, &mut test)?;
        if let Some(subset) = subset {
            set = subset;
            parts = 2;
            continue;
        }
        // With two parts the complements are the parts.
        let complements: Vec<Vec<T>> = match chunks.len() {
            0..=2 => Vec::new(),
            count => (0..count).map(|left_out| without(&chunks, left_out)).collect(),
        };
        if let Some(complement) = first_failing(&complements, &mut test)? {
            set = complement;
            parts = (parts - 1).max(2);
        } else if size == 1 {
            break;
        } else {
            parts = (parts * 2).min(set.len());
        }
    }
    Ok(set)
}

fn first_failing<T: Clone>(
    subsets: &[Vec<T>],
    test: &mut impl FnMut(&[T]) -> Result<ProbeResult, Halt>,
) -> Result<Option<Vec<T>>, Halt> {
    for subset in subsets {
        if test(subset)? == ProbeResult::Fails {
            return Ok(Some(subset.clone()));
        }
    }
    Ok(None)
}

fn without<T: Clone>(chunks: &[Vec<T>], left_out: usize) -> Vec<T> {
    let kept = chunks.iter().enumerate().filter(|(index, _)| *index != left_out);
    kept.flat_map(|(_, chunk)| chunk.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduce(count: usize, fails: impl Fn(&[usize]) -> ProbeResult) -> Vec<usize> {
        ddmin((0..count).collect(), |subset| Ok(fails(subset))).unwrap()
    }

    #[test]
    fn what_is_needed_remains() {
        let needs = |needed: &'static [usize]| {
            move |subset: &[usize]| match needed.iter().all(|element| subset.contains(element)) {
                true => ProbeResult::Fails,
                false => ProbeResult::Passes,
            }
        };
        assert_eq!(reduce(27, needs(&[11])), [11]);
        assert_eq!(reduce(27, needs(&[3, 20])), [3, 20]);
        assert_eq!(reduce(9, needs(&[0, 4, 8])), [0, 4, 8]);
        assert_eq!(reduce(1, needs(&[0])), [0]);
    }

    #[test]
    fn subsets_that_say_nothing_are_passed_over() {
        // Odd numbers of elements cannot be run.
        let result = reduce(8, |subset| match (subset.len() % 2, subset.contains(&5)) {
            (1, _) => ProbeResult::Unresolved,
            (_, true) => ProbeResult::Fails,
            (_, false) => ProbeResult::Passes,
        });
        assert!(result.contains(&5) && result.len() == 2, "{result:?}");
    }
}
