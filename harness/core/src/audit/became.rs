//! What a tensor became, told from its print and that of what it should have been.

use super::{Changed, Digest, TensorPrint};

/// Where an earlier tensor of the same place was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Earlier {
    /// The step it belongs to.
    pub(super) token: u32,
    /// The module or hop.
    pub(super) at: String,
    /// Of all of it.
    pub(super) digest: Digest,
    /// Of its last row.
    pub(super) last_row: Digest,
}

/// What a tensor became.
#[derive(Debug, Clone, PartialEq)]
pub enum Became {
    /// Another type or other dimensions.
    OtherShape,
    /// Values that are infinite or not a number.
    NotFinite {
        /// So many.
        values: u64,
        /// Of these.
        of: u64,
    },
    /// All zeros.
    Zeros,
    /// What was seen before at this place, or over this link.
    Stale {
        /// At this token.
        token: u32,
        /// At this module or hop.
        at: String,
    },
    /// Every row is the last one.
    OneRow,
    /// All values times a factor.
    Scaled {
        /// The factor.
        factor: f64,
    },
    /// The same values in other places, as far as figures tell.
    Moved,
    /// Some values are others, all of which were looked at.
    PartlyWrong {
        /// So many.
        values: u64,
        /// Of these.
        of: u64,
        /// Position of the first.
        first: u64,
    },
    /// Some of the sampled values are others.
    SamplesWrong {
        /// So many.
        wrong: usize,
        /// Of these.
        sampled: usize,
    },
    /// Something else.
    Other,
}

/// How far a sampled value may be from the factor's answer, relative to the largest value: rounding, not arithmetic.
const SCALED_WITHIN: f64 = 1e-3;
/// How far sums of the same values in another order may be apart.
const SUMS_WITHIN: f64 = 1e-9;

impl Became {
    /// Looks at what is `wrong` beside what is `right`; `earlier` are prints of the same place or link, oldest first.
    pub(super) fn of(wrong: &TensorPrint, right: &TensorPrint, changed: Option<Changed>, earlier: &[Earlier]) -> Self {
        if wrong.shape != right.shape {
            return Self::OtherShape;
        }
        if wrong.non_finite > right.non_finite {
            return Self::not_finite(wrong);
        }
        if wrong.zeros == wrong.count() && right.zeros < right.count() {
            return Self::Zeros;
        }
        let is_one_row = wrong.equal_rows == wrong.rows();
        let again =
            |earlier: &&Earlier| earlier.digest == wrong.digest || (is_one_row && earlier.last_row == wrong.last_row);
        if let Some(earlier) = earlier.iter().rev().find(again) {
            return Self::Stale {
                token: earlier.token,
                at: earlier.at.clone(),
            };
        }
        if is_one_row && wrong.rows() > 1 && right.equal_rows < right.rows() {
            return Self::OneRow;
        }
        if let Some(factor) = factor(wrong, right) {
            return Self::Scaled { factor };
        }
        if has_moved(wrong, right) {
            return Self::Moved;
        }
        if let Some(changed) = changed {
            return Self::PartlyWrong {
                values: changed.elements,
                of: wrong.count(),
                first: changed.first,
            };
        }
        let pairs = wrong.sample.iter().zip(&right.sample);
        let differing = pairs.filter(|(wrong, right)| wrong != right).count();
        let sampled = right.sample.len();
        if differing < sampled {
            Self::SamplesWrong {
                wrong: differing,
                sampled,
            }
        } else {
            Self::Other
        }
    }
}

impl Became {
    /// Of a tensor with values that are not finite.
    pub(super) fn not_finite(wrong: &TensorPrint) -> Self {
        Self::NotFinite {
            values: wrong.non_finite,
            of: wrong.count(),
        }
    }
}

/// The factor between two tensors, where there is one: the least-squares fit of the samples, which must hold for each of
/// them and for the sums of squares.
fn factor(wrong: &TensorPrint, right: &TensorPrint) -> Option<f64> {
    let pairs: Option<Vec<(f64, f64)>> = wrong
        .sample
        .iter()
        .zip(&right.sample)
        .map(|(wrong, right)| Some((f64::from((*wrong)?), f64::from((*right)?))))
        .collect();
    let pairs = pairs?;
    if pairs.iter().filter(|(_, right)| *right != 0.0).count() < 4 {
        return None;
    }
    let products: f64 = pairs.iter().map(|(wrong, right)| wrong * right).sum();
    let squares: f64 = pairs.iter().map(|(_, right)| right * right).sum();
    let factor = products / squares;
    let room = SCALED_WITHIN * factor.abs() * pairs.iter().map(|(_, right)| right.abs()).fold(0.0, f64::max);
    let holds = |(wrong, right): &(f64, f64)| (wrong - factor * right).abs() <= room;
    let lengths = (wrong.l2 - factor.abs() * right.l2).abs() <= SCALED_WITHIN * wrong.l2;
    let is_one = (factor - 1.0).abs() <= 2.0 * SCALED_WITHIN;
    (factor.is_finite() && !is_one && lengths && pairs.iter().all(holds)).then_some(factor)
}

/// The same extremes, zeros and sums, but other samples.
fn has_moved(wrong: &TensorPrint, right: &TensorPrint) -> bool {
    let near = |a: f64, b: f64, scale: f64| (a - b).abs() <= SUMS_WITHIN * scale;
    wrong.sample != right.sample
        && (wrong.min, wrong.max, wrong.zeros) == (right.min, right.max, right.zeros)
        && near(wrong.l2, right.l2, right.l2)
        && near(wrong.mean, right.mean, right.peak())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(rows: &[Vec<f32>]) -> TensorPrint {
        let shape = [rows.len() as u64, rows.first().map_or(0, Vec::len) as u64];
        let bytes: Vec<u8> = rows.iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
        TensorPrint::of("f32", &shape, &bytes, |x| f32::from_le_bytes(x.try_into().unwrap()))
    }

    fn row(seed: f32) -> Vec<f32> {
        (0..64).map(|i| ((i * i) as f32 * 0.37 + seed).sin()).collect()
    }

    fn became(wrong: &[Vec<f32>], right: &[Vec<f32>]) -> Became {
        Became::of(&print(wrong), &print(right), None, &[])
    }

    #[test]
    fn each_way_to_go_wrong_is_told_from_the_others() {
        let right = [row(0.0), row(1.0)];
        let each = |change: &dyn Fn(usize, f32) -> f32| -> Vec<Vec<f32>> {
            let row = |row: &Vec<f32>| row.iter().enumerate().map(|(at, x)| change(at, *x)).collect();
            right.iter().map(row).collect()
        };
        assert_eq!(became(&each(&|_, _| 0.0), &right), Became::Zeros);
        assert_eq!(
            became(&each(&|at, x| if at == 9 { f32::NAN } else { x }), &right),
            Became::NotFinite { values: 2, of: 128 }
        );
        let Became::Scaled { factor } = became(&each(&|_, x| x * -2.5), &right) else {
            panic!("not scaled");
        };
        assert!((factor + 2.5).abs() < 1e-6);
        assert_eq!(became(&[row(1.0), row(1.0)], &right), Became::OneRow);
        let shifted: Vec<Vec<f32>> = right
            .iter()
            .map(|row| row[3..].iter().chain(&row[..3]).copied().collect())
            .collect();
        assert_eq!(became(&shifted, &right), Became::Moved);
        let some = each(&|at, x| if at % 8 == 0 { -8.0 * x } else { x });
        assert!(matches!(
            became(&some, &right),
            Became::SamplesWrong {
                wrong: 1..=5,
                sampled: 16
            }
        ));
        assert_eq!(became(&[row(7.0), row(8.0)], &right), Became::Other);
        assert_eq!(became(&[row(0.0)], &right), Became::OtherShape);
    }

    #[test]
    fn what_came_before_is_recognised_whole_or_by_its_last_row() {
        let before = print(&[row(5.0), row(6.0)]);
        let earlier = [Earlier {
            token: 3,
            at: "a -> b".into(),
            digest: before.digest,
            last_row: before.last_row,
        }];
        let stale = Became::Stale {
            token: 3,
            at: "a -> b".into(),
        };
        let right = print(&[row(0.0), row(1.0)]);
        assert_eq!(Became::of(&before, &right, None, &earlier), stale);
        let right = print(&[row(0.0)]);
        assert_eq!(Became::of(&print(&[row(6.0)]), &right, None, &earlier), stale);
        assert_eq!(Became::of(&print(&[row(5.0)]), &right, None, &earlier), Became::Other);
    }

    #[test]
    fn of_a_hop_every_value_was_looked_at() {
        let (wrong, right) = (print(&[row(7.0)]), print(&[row(0.0)]));
        let changed = Changed { elements: 3, first: 9 };
        let partly = Became::PartlyWrong {
            values: 3,
            of: 64,
            first: 9,
        };
        assert_eq!(Became::of(&wrong, &right, Some(changed), &[]), partly);
    }

    #[test]
    fn a_difference_that_samples_miss_is_no_factor_of_one() {
        let mut wrong = row(0.0);
        wrong[1] += 1e-3;
        assert_eq!(
            became(&[wrong], &[row(0.0)]),
            Became::SamplesWrong { wrong: 0, sampled: 16 }
        );
    }
}
