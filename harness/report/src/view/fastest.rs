//! Which placement of a prompt is fastest, and whether that is known: decided once, and said by the header, each prompt's
//! finding, the marks of the matrix, the titles of pictures, Markdown and the terminal.
//!
//! The placements are held against their reference as `placebench compare RUN` does. The least of the times is the fastest where it
//! is that of the reference and every other placement is slower; or where it is below that of the reference, and every other
//! placement that is not slower than the reference is slower when it is held against the least itself.

use placebench_core::compare::Change;

use super::compared::ComparedRow;

/// What is known of the order of the times of a prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Standing {
    /// There are no two placements with a time.
    #[default]
    Alone,
    /// There are, but none that can be held against the reference.
    Unrelated,
    /// The first is faster than each other one.
    Known,
    /// What differs is within the margin of sameness.
    Close,
    /// The repetitions do not tell them apart; more might.
    Unclear,
    /// There are too few repetitions to ask.
    TooFew,
}

/// The times of a prompt, the least first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Speeds {
    /// Rows of the comparison with their time as a multiple of that of the reference, the least first. Where nothing is held
    /// against the reference: those that have a time, in the order of the rows, without a multiple.
    pub order: Vec<(usize, Option<f64>)>,
    /// Whether that order is more than noise.
    pub standing: Standing,
}

impl Speeds {
    /// The row that is certainly the fastest.
    #[must_use]
    pub fn fastest(&self) -> Option<usize> {
        let (first, _) = self.order.first()?;
        (self.standing == Standing::Known).then_some(*first)
    }
}

/// The speeds by one of the times of `rows`. `directly` holds rows against one of them, which is given first.
pub(super) fn speeds(rows: &[ComparedRow], metric: usize, directly: &dyn Fn(usize, &[usize]) -> Vec<Change>) -> Speeds {
    let cell = |index: usize| rows.get(index)?.cells.get(metric);
    let claims: Vec<(usize, f64, Change)> = (0..rows.len())
        .filter_map(|index| {
            let against = cell(index)?.against?;
            Some((index, against.ratio, against.change?))
        })
        .collect();
    let has_time = |index: &usize| cell(*index).is_some_and(|cell| cell.value.measured().is_some());
    if claims.is_empty() {
        let order: Vec<(usize, Option<f64>)> = (0..rows.len()).filter(has_time).map(|index| (index, None)).collect();
        let standing = match order.len() {
            0 | 1 => Standing::Alone,
            _ => Standing::Unrelated,
        };
        return Speeds { order, standing };
    }
    let reference = rows.iter().position(|row| row.is_reference);
    // The reference comes first among equals.
    let mut order: Vec<(usize, f64)> = reference.map(|index| (index, 1.0)).into_iter().collect();
    order.extend(claims.iter().map(|(index, ratio, _)| (*index, *ratio)));
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    Speeds {
        standing: standing(&claims, directly),
        order: order.into_iter().map(|(index, ratio)| (index, Some(ratio))).collect(),
    }
}

fn standing(claims: &[(usize, f64, Change)], directly: &dyn Fn(usize, &[usize]) -> Vec<Change>) -> Standing {
    let is = |change: Change| move |(_, _, own): &&(usize, f64, Change)| *own == change;
    if claims.iter().any(|claim| is(Change::NoVerdict)(&claim)) {
        return Standing::TooFew;
    }
    let mut others = claims.iter().filter(|claim| !is(Change::Slower)(claim));
    let Some(first) = others.clone().min_by(|a, b| a.1.total_cmp(&b.1)) else {
        return Standing::Known;
    };
    if first.2 != Change::Faster {
        return undecided(others.map(|claim| claim.2));
    }
    let rivals: Vec<usize> = others
        .by_ref()
        .map(|(index, ..)| *index)
        .filter(|index| *index != first.0)
        .collect();
    if rivals.is_empty() {
        return Standing::Known;
    }
    let answers = directly(first.0, &rivals);
    if answers.contains(&Change::NoVerdict) || answers.len() < rivals.len() {
        Standing::TooFew
    } else if answers.iter().all(|change| *change == Change::Slower) {
        Standing::Known
    } else {
        undecided(answers.into_iter())
    }
}

/// Why nobody is fastest among some that are not slower.
fn undecided(mut changes: impl Iterator<Item = Change>) -> Standing {
    match changes.any(|change| change == Change::Unclear) {
        true => Standing::Unclear,
        false => Standing::Close,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(claims: &[(f64, Change)], directly: &[Change]) -> Standing {
        let claims: Vec<(usize, f64, Change)> = claims
            .iter()
            .enumerate()
            .map(|(index, (ratio, change))| (index + 1, *ratio, *change))
            .collect();
        standing(&claims, &|_, _| directly.to_vec())
    }

    #[test]
    fn what_is_not_known_is_not_called_noise() {
        use Change::{Faster, NoVerdict, Same, Slower, Unclear};
        assert_eq!(of(&[(1.2, Slower), (1.1, Slower)], &[]), Standing::Known);
        assert_eq!(of(&[(1.2, Slower), (1.001, Same)], &[]), Standing::Close);
        assert_eq!(of(&[(1.03, Unclear), (1.001, Same)], &[]), Standing::Unclear);
        assert_eq!(of(&[(1.2, Slower), (1.1, NoVerdict)], &[]), Standing::TooFew);
        assert_eq!(of(&[(0.8, Faster), (1.1, Slower)], &[]), Standing::Known);
        assert_eq!(of(&[(0.8, Faster), (0.9, Faster)], &[Slower]), Standing::Known);
        assert_eq!(of(&[(0.8, Faster), (0.81, Faster)], &[Same]), Standing::Close);
        assert_eq!(of(&[(0.8, Faster), (0.85, Faster)], &[Unclear]), Standing::Unclear);
    }
}
