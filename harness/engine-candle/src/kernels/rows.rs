//! Rows of activations in 8 bits, as products with quantised weights want them.

/// Elements that share a scale; a divisor of the blocks of every weight format.
pub(super) const GROUP: usize = 32;

/// Rows of activations: 8-bit numbers in groups of [`GROUP`], each with a scale and its sum.
#[derive(Debug, Clone)]
pub(super) struct QuantisedRows {
    /// Groups of a row.
    groups: usize,
    numbers: Vec<[i8; GROUP]>,
    factors: Vec<[f32; 2]>,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct QuantisedRow<'a> {
    /// What was divided by the scale and rounded.
    pub(super) numbers: &'a [[i8; GROUP]],
    /// The scale of each group, and the scale times the sum of its numbers: what a minimum of the weights is multiplied
    /// with.
    pub(super) factors: &'a [[f32; 2]],
}

impl QuantisedRows {
    /// Quantises rows of `columns` elements, a multiple of [`GROUP`]: scale = largest magnitude / 127, as `Q8_0` of ggml.
    pub(super) fn new(x: &[f32], columns: usize) -> Self {
        let (source, _) = x.as_chunks::<GROUP>();
        let mut quantised = Self {
            groups: columns / GROUP,
            numbers: Vec::with_capacity(source.len()),
            factors: Vec::with_capacity(source.len()),
        };
        for group in source {
            let (numbers, factors) = quantise(group);
            quantised.numbers.push(numbers);
            quantised.factors.push(factors);
        }
        quantised
    }

    /// A row.
    pub(super) fn row(&self, row: usize) -> QuantisedRow<'_> {
        let groups = row * self.groups..(row + 1) * self.groups;
        QuantisedRow {
            numbers: &self.numbers[groups.clone()],
            factors: &self.factors[groups],
        }
    }
}

/// A number that is not finite makes its whole group not a number, so that it is still seen in the logits.
fn quantise(group: &[f32; GROUP]) -> ([i8; GROUP], [f32; 2]) {
    // Adding and taking away 1.5 · 2²³ rounds to the nearest integer without a call on any processor.
    const ROUND: f32 = 12_582_912.0;
    let mut largest = [0_f32; 8];
    let mut is_finite = true;
    for part in group.as_chunks::<8>().0 {
        for (largest, x) in largest.iter_mut().zip(part) {
            is_finite &= x.is_finite();
            *largest = largest.max(x.abs());
        }
    }
    if !is_finite {
        return ([0; GROUP], [f32::NAN; 2]);
    }
    let scale = largest.iter().fold(0_f32, |a, b| a.max(*b)) / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut numbers = [0_i8; GROUP];
    let mut sum = 0_i32;
    for (number, x) in numbers.iter_mut().zip(group) {
        let rounded = ((x * inverse).clamp(-127.0, 127.0) + ROUND) - ROUND;
        #[expect(clippy::cast_possible_truncation, reason = "clamped to what an i8 holds")]
        let whole = rounded as i32;
        sum += whole;
        #[expect(clippy::cast_possible_truncation, reason = "clamped to what an i8 holds")]
        let small = whole as i8;
        *number = small;
    }
    (numbers, [scale, scale * sum as f32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_times_scale_are_the_elements_to_half_a_step() {
        let x: Vec<f32> = (0..64_u8).map(|i| (f32::from(i) - 20.0) * 0.37).collect();
        let rows = QuantisedRows::new(&x, 32);
        for row in 0..2 {
            let quantised = rows.row(row);
            let ([scale, product], numbers) = (quantised.factors[0], &quantised.numbers[0]);
            for (number, x) in numbers.iter().zip(&x[row * 32..]) {
                assert!((f32::from(*number) * scale - x).abs() <= scale * 0.501);
            }
            let sum: f32 = numbers.iter().map(|number| f32::from(*number)).sum();
            assert!((product - sum * scale).abs() < 1e-3);
        }
    }

    #[test]
    fn zeros_and_what_is_tiny_stay_finite() {
        for x in [0.0, f32::MIN_POSITIVE / 4.0, f32::MAX] {
            let rows = QuantisedRows::new(&[x; 32], 32);
            assert!(rows.row(0).factors[0][0].is_finite());
        }
    }

    #[test]
    fn what_is_not_finite_is_not_hidden() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = [1.0; 64];
            x[40] = bad;
            let rows = QuantisedRows::new(&x, 64);
            assert!(rows.row(0).factors[0][0].is_finite());
            assert!(rows.row(0).factors[1][0].is_nan() && rows.row(0).factors[1][1].is_nan());
        }
    }
}
