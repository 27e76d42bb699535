//! Dot products without instructions of a particular processor.

use super::format::{Blocks, Format, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
use super::rows::{GROUP, QuantisedRow};

/// The products of rows of quantised weights with one row of activations.
pub(super) fn dot(format: Format, weights: [&[u8]; 4], x: QuantisedRow<'_>) -> [f32; 4] {
    weights.map(|row| match format {
        Format::Q4_0 => dot_row::<18, Q4_0>(row, x),
        Format::Q4_1 => dot_row::<20, Q4_1>(row, x),
        Format::Q5_0 => dot_row::<22, Q5_0>(row, x),
        Format::Q5_1 => dot_row::<24, Q5_1>(row, x),
        Format::Q8_0 => dot_row::<34, Q8_0>(row, x),
        Format::Q4K => dot_row::<144, Q4K>(row, x),
        Format::Q5K => dot_row::<176, Q5K>(row, x),
        Format::Q6K => dot_row::<210, Q6K>(row, x),
    })
}

fn dot_row<const BYTES: usize, F: Blocks<BYTES>>(row: &[u8], x: QuantisedRow<'_>) -> f32 {
    let activations = x.numbers.chunks_exact(F::GROUPS).zip(x.factors.chunks_exact(F::GROUPS));
    let mut total = 0.0;
    for (block, (numbers, factors)) in row.as_chunks::<BYTES>().0.iter().zip(activations) {
        for (index, (numbers, [scale, sum])) in numbers.iter().zip(factors).enumerate() {
            let group = F::group(block, index);
            let [low, high] = products(&group.numbers, numbers);
            total += scale * (group.scales[0] * low as f32 + group.scales[1] * high as f32) + group.minimum * sum;
        }
    }
    total
}

/// The sums of products of the first and of the second half.
fn products(a: &[i8; GROUP], b: &[i8; GROUP]) -> [i32; 2] {
    let mut sums = [0; 2];
    for (half, sum) in sums.iter_mut().enumerate() {
        let range = half * GROUP / 2..(half + 1) * GROUP / 2;
        *sum = a[range.clone()]
            .iter()
            .zip(&b[range])
            .map(|(a, b)| i32::from(*a) * i32::from(*b))
            .sum();
    }
    sums
}

/// The product of a row of weights that are elements, widened one by one, with a row of activations.
pub(super) fn dot_elements<T: Copy>(weights: &[T], x: &[f32], widen: impl Fn(T) -> f32) -> f32 {
    // Several sums, so that the compiler may keep them in one vector.
    let mut sums = [0_f32; 16];
    let (whole, rest) = weights.as_chunks::<16>();
    let (whole_x, rest_x) = x.as_chunks::<16>();
    for (weights, x) in whole.iter().zip(whole_x) {
        for ((sum, weight), x) in sums.iter_mut().zip(weights).zip(x) {
            *sum += widen(*weight) * x;
        }
    }
    let rest: f32 = rest.iter().zip(rest_x).map(|(weight, x)| widen(*weight) * x).sum();
    sums.iter().sum::<f32>() + rest
}
