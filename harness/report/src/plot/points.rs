//! Many raw points in few bytes, without losing any that stands apart.

use std::collections::BTreeSet;

/// The points on whole pixels, each pixel once; where that leaves more than `most`, on a coarser grid. A point that lies
/// apart from the others has a cell of its own at any coarseness that is needed in practice, so it never vanishes.
pub(super) fn thin(points: impl Iterator<Item = (f64, f64)>, most: usize) -> Vec<(f64, f64)> {
    let whole = points.filter(|(x, y)| x.is_finite() && y.is_finite());
    let mut all: BTreeSet<(i64, i64)> = whole.map(|(x, y)| (nearest(x), nearest(y))).collect();
    let mut cell = 1;
    while all.len() > most.max(1) {
        cell += 1;
        let mut seen = BTreeSet::new();
        // The first of each cell stays where it is, so that columns do not shift.
        all.retain(|(x, y)| seen.insert((x.div_euclid(cell), y.div_euclid(cell))));
    }
    all.into_iter().map(|(x, y)| (x as f64, y as f64)).collect()
}

fn nearest(value: f64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a position in a picture; the cast saturates"
    )]
    let whole = value.round() as i64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_apart_stays() {
        let crowd = (0..5000).map(|at| (f64::from(at % 100), f64::from(at % 37)));
        let thinned = thin(crowd.chain([(900.0, 10.0), (f64::NAN, 1.0)]), 300);
        assert!(thinned.len() <= 300 && thinned.len() > 50, "{}", thinned.len());
        assert!(thinned.contains(&(900.0, 10.0)));
        assert_eq!(thin([(1.2, 3.4), (1.4, 3.3)].into_iter(), 9), [(1.0, 3.0)]);
    }
}
