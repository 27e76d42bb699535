//! What is computed element by element, in loops that the compiler can vectorise for the processor it is told about.

/// `eˣ`, to about two units in the last place; at most `e⁸⁸`, at least `e⁻⁸⁷`. Not a number stays that.
///
/// The exponent is split into a power of two and a remainder below `ln(2)/2`, as in Cephes' `expf`, whose polynomial this is.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Added to a float of this size, the lowest bits of the sum are those of the nearest integer.
    const MAGIC: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let power = shifted - MAGIC;
    let rest = x - power * LN2_HIGH - power * LN2_LOW;
    let polynomial = [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5]
        .into_iter()
        .fold(1.987_569_1e-4_f32, |sum, factor| sum * rest + factor);
    let mantissa = polynomial * rest * rest + rest + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127) << 23;
    mantissa * f32::from_bits(exponent)
}

/// Turns scores into weights that add up to 1.
#[inline(always)]
pub(super) fn softmax(scores: &mut [f32], scale: f32) {
    let mut largest = [f32::NEG_INFINITY; 16];
    let (parts, rest) = scores.as_chunks::<16>();
    for part in parts {
        for (largest, score) in largest.iter_mut().zip(part) {
            *largest = if *score > *largest { *score } else { *largest };
        }
    }
    let largest = largest.iter().chain(rest).fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    let mut sums = [0_f32; 16];
    let (parts, rest) = scores.as_chunks_mut::<16>();
    for part in parts {
        for (sum, score) in sums.iter_mut().zip(part) {
            *score = exp((*score - largest) * scale);
            *sum += *score;
        }
    }
    let mut sum = sums.iter().sum::<f32>();
    for score in rest {
        *score = exp((*score - largest) * scale);
        sum += *score;
    }
    let inverse = 1.0 / sum;
    for score in scores {
        *score *= inverse;
    }
}

/// `gate · sigmoid(gate) · up`, element by element.
#[inline(always)]
pub(super) fn gated(gate: &[f32], up: &[f32], output: &mut [f32]) {
    for ((output, gate), up) in output.iter_mut().zip(gate).zip(up) {
        *output = gate / (1.0 + exp(-gate)) * up;
    }
}

/// Adds `weights · rows` to `output`; a row has as many elements as `output`.
#[inline(always)]
pub(super) fn add_rows(output: &mut [f32], weights: &[f32], rows: &[f32]) {
    let width = output.len();
    let (fours, last) = weights.as_chunks::<4>();
    let (rows, last_rows) = rows.split_at(fours.len() * 4 * width);
    for (weights, rows) in fours.iter().zip(rows.chunks_exact(4 * width)) {
        let (ab, cd) = rows.split_at(2 * width);
        let ((a, b), (c, d)) = (ab.split_at(width), cd.split_at(width));
        for ((((output, a), b), c), d) in output.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *output += (weights[0] * a + weights[1] * b) + (weights[2] * c + weights[3] * d);
        }
    }
    for (weight, row) in last.iter().zip(last_rows.chunks_exact(width)) {
        for (output, element) in output.iter_mut().zip(row) {
            *output += weight * element;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_right_over_the_whole_range() {
        for step in -8700..8800_i16 {
            let x = f32::from(step) / 100.0;
            let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found / expected - 1.0).abs() < 3e-7, "{x}: {found} {expected}");
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
        assert!(exp(f32::INFINITY) > 1e38);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn weights_add_up_and_keep_the_order() {
        for len in [1, 15, 16, 40] {
            let mut scores: Vec<f32> = (0..len).map(|i| (i as f32 * 1.7).sin() * 30.0).collect();
            let expected: Vec<f64> = scores.iter().map(|score| (f64::from(*score) * 0.5).exp()).collect();
            let total: f64 = expected.iter().sum();
            softmax(&mut scores, 0.5);
            for (score, expected) in scores.iter().zip(expected) {
                assert!((f64::from(*score) - expected / total).abs() < 1e-6, "{len}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_is_not_hidden() {
        for at in [0, 17] {
            let mut scores = [0.0; 18];
            scores[at] = f32::NAN;
            softmax(&mut scores, 1.0);
            assert!(scores.iter().all(|score| score.is_nan()));
        }
        let mut output = [0.0; 2];
        gated(&[f32::NAN, 1.0], &[1.0, f32::NAN], &mut output);
        assert!(output.iter().all(|x| x.is_nan()));
    }
}
