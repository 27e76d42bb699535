//! Formats of quantised weights: what a block of bytes says.
//!
//! Layouts are those of ggml (`ggml-common.h` and the `dequantize_row_*` functions of `ggml-quants.c`).

use candle_core::quantized::GgmlDType;
use half::f16;

use super::rows::GROUP;

/// The formats that have kernels here; the others are left to candle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// 4 bits around 8.
    Q4_0,
    /// 4 bits above a minimum.
    Q4_1,
    /// 5 bits around 16.
    Q5_0,
    /// 5 bits above a minimum.
    Q5_1,
    /// 8 bits with a sign.
    Q8_0,
    /// 4 bits above a minimum, scales in 6 bits.
    Q4K,
    /// 5 bits above a minimum, scales in 6 bits.
    Q5K,
    /// 6 bits around 32, scales in 8 bits.
    Q6K,
}

impl Format {
    /// The format of that name, where there are kernels for it.
    pub(crate) fn of(dtype: GgmlDType) -> Option<Self> {
        match dtype {
            GgmlDType::Q4_0 => Some(Self::Q4_0),
            GgmlDType::Q4_1 => Some(Self::Q4_1),
            GgmlDType::Q5_0 => Some(Self::Q5_0),
            GgmlDType::Q5_1 => Some(Self::Q5_1),
            GgmlDType::Q8_0 => Some(Self::Q8_0),
            GgmlDType::Q4K => Some(Self::Q4K),
            GgmlDType::Q5K => Some(Self::Q5K),
            GgmlDType::Q6K => Some(Self::Q6K),
            GgmlDType::F32
            | GgmlDType::F16
            | GgmlDType::BF16
            | GgmlDType::Q8_1
            | GgmlDType::Q2K
            | GgmlDType::Q3K
            | GgmlDType::Q8K => None,
        }
    }

    /// Bytes of `columns` weights, a multiple of the format's block.
    pub(super) fn row_bytes(self, columns: usize) -> usize {
        match self {
            Self::Q4_0 => columns / 32 * 18,
            Self::Q4_1 => columns / 32 * 20,
            Self::Q5_0 => columns / 32 * 22,
            Self::Q5_1 => columns / 32 * 24,
            Self::Q8_0 => columns / 32 * 34,
            Self::Q4K => columns / 256 * 144,
            Self::Q5K => columns / 256 * 176,
            Self::Q6K => columns / 256 * 210,
        }
    }

    /// Writes out the weights of some bytes.
    pub(super) fn dequantise(self, bytes: &[u8], weights: &mut [f32]) {
        match self {
            Self::Q4_0 => dequantise::<18, Q4_0>(bytes, weights),
            Self::Q4_1 => dequantise::<20, Q4_1>(bytes, weights),
            Self::Q5_0 => dequantise::<22, Q5_0>(bytes, weights),
            Self::Q5_1 => dequantise::<24, Q5_1>(bytes, weights),
            Self::Q8_0 => dequantise::<34, Q8_0>(bytes, weights),
            Self::Q4K => dequantise::<144, Q4K>(bytes, weights),
            Self::Q5K => dequantise::<176, Q5K>(bytes, weights),
            Self::Q6K => dequantise::<210, Q6K>(bytes, weights),
        }
    }
}

/// [`GROUP`] weights: `number * scale + minimum`, the first and the second half with a scale each.
pub(super) struct Group {
    pub(super) numbers: [i8; GROUP],
    pub(super) scales: [f32; 2],
    pub(super) minimum: f32,
}

/// A format with blocks of `BYTES` bytes.
pub(super) trait Blocks<const BYTES: usize> {
    /// Groups in a block.
    const GROUPS: usize;

    /// Group `index` of a block, below [`Self::GROUPS`].
    fn group(block: &[u8; BYTES], index: usize) -> Group;
}

#[inline(always)]
fn dequantise<const BYTES: usize, F: Blocks<BYTES>>(bytes: &[u8], weights: &mut [f32]) {
    let (groups, _) = weights.as_chunks_mut::<GROUP>();
    for (block, groups) in bytes
        .as_chunks::<BYTES>()
        .0
        .iter()
        .zip(groups.chunks_exact_mut(F::GROUPS))
    {
        for (index, weights) in groups.iter_mut().enumerate() {
            let group = F::group(block, index);
            let (low, high) = weights.split_at_mut(GROUP / 2);
            let (low_numbers, high_numbers) = group.numbers.split_at(GROUP / 2);
            for (weight, number) in low.iter_mut().zip(low_numbers) {
                *weight = f32::from(*number) * group.scales[0] + group.minimum;
            }
            for (weight, number) in high.iter_mut().zip(high_numbers) {
                *weight = f32::from(*number) * group.scales[1] + group.minimum;
            }
        }
    }
}

/// A number of 16 bits at `at`.
#[inline(always)]
fn half_at<const BYTES: usize>(block: &[u8; BYTES], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// 4-bit numbers at `at`: the low halves of 16 bytes, then the high ones.
#[inline(always)]
fn nibbles<const BYTES: usize>(block: &[u8; BYTES], at: usize) -> [u8; GROUP] {
    std::array::from_fn(|i| {
        if i < GROUP / 2 {
            block[at + i] & 15
        } else {
            block[at + i - GROUP / 2] >> 4
        }
    })
}

/// The fifth bits of a group, from 4 bytes at `at`.
#[inline(always)]
fn fifth_bits<const BYTES: usize>(block: &[u8; BYTES], at: usize) -> [u8; GROUP] {
    let bits = u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    std::array::from_fn(|i| if bits >> i & 1 == 1 { 16 } else { 0 })
}

/// Numbers below 128 less an offset.
#[inline(always)]
fn signed(numbers: [u8; GROUP], offset: i8) -> [i8; GROUP] {
    numbers.map(|number| number.cast_signed() - offset)
}

#[inline(always)]
fn either(low: [u8; GROUP], high: [u8; GROUP]) -> [u8; GROUP] {
    std::array::from_fn(|i| low[i] | high[i])
}

struct Simple;

impl Simple {
    #[inline(always)]
    fn group(numbers: [i8; GROUP], scale: f32, minimum: f32) -> Group {
        Group {
            numbers,
            scales: [scale; 2],
            minimum,
        }
    }
}

pub(super) struct Q4_0;
impl Blocks<18> for Q4_0 {
    const GROUPS: usize = 1;
    #[inline(always)]
    fn group(block: &[u8; 18], _: usize) -> Group {
        Simple::group(signed(nibbles(block, 2), 8), half_at(block, 0), 0.0)
    }
}

pub(super) struct Q4_1;
impl Blocks<20> for Q4_1 {
    const GROUPS: usize = 1;
    #[inline(always)]
    fn group(block: &[u8; 20], _: usize) -> Group {
        Simple::group(signed(nibbles(block, 4), 0), half_at(block, 0), half_at(block, 2))
    }
}

pub(super) struct Q5_0;
impl Blocks<22> for Q5_0 {
    const GROUPS: usize = 1;
    #[inline(always)]
    fn group(block: &[u8; 22], _: usize) -> Group {
        let numbers = either(nibbles(block, 6), fifth_bits(block, 2));
        Simple::group(signed(numbers, 16), half_at(block, 0), 0.0)
    }
}

pub(super) struct Q5_1;
impl Blocks<24> for Q5_1 {
    const GROUPS: usize = 1;
    #[inline(always)]
    fn group(block: &[u8; 24], _: usize) -> Group {
        let numbers = either(nibbles(block, 8), fifth_bits(block, 4));
        Simple::group(signed(numbers, 0), half_at(block, 0), half_at(block, 2))
    }
}

pub(super) struct Q8_0;
impl Blocks<34> for Q8_0 {
    const GROUPS: usize = 1;
    #[inline(always)]
    fn group(block: &[u8; 34], _: usize) -> Group {
        let numbers = std::array::from_fn(|i| block[2 + i].cast_signed());
        Simple::group(numbers, half_at(block, 0), 0.0)
    }
}

/// The scales and minima of the eight groups of a `Q4_K` or `Q5_K` block, 6 bits each in 12 bytes at 4: four of both in
/// the low bits of the first eight bytes, the other four in the halves of the last four and the spare high bits.
#[inline(always)]
pub(super) fn scales_and_minima<const BYTES: usize>(block: &[u8; BYTES]) -> ([u8; 8], [u8; 8]) {
    let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    let (first, second, third) = (word(4), word(8), word(12));
    let join = |low: u32, high: u32| (u64::from(high) << 32 | u64::from(low)).to_le_bytes();
    let scales = join(first & 0x3f3f_3f3f, third & 0x0f0f_0f0f | first >> 2 & 0x3030_3030);
    let minima = join(
        second & 0x3f3f_3f3f,
        third >> 4 & 0x0f0f_0f0f | second >> 2 & 0x3030_3030,
    );
    (scales, minima)
}

/// Group `index` of a block whose 4-bit numbers begin at `at`: two groups share 32 bytes.
#[inline(always)]
fn k_nibbles<const BYTES: usize>(block: &[u8; BYTES], at: usize, index: usize) -> [u8; GROUP] {
    let (at, shift) = (at + index / 2 * 32, index % 2 * 4);
    std::array::from_fn(|i| block[at + i] >> shift & 15)
}

#[inline(always)]
fn k_group<const BYTES: usize>(block: &[u8; BYTES], numbers: [u8; GROUP], index: usize) -> Group {
    let (scales, minima) = scales_and_minima(block);
    let scale = half_at(block, 0) * f32::from(scales[index]);
    let minimum = -(half_at(block, 2) * f32::from(minima[index]));
    Simple::group(signed(numbers, 0), scale, minimum)
}

pub(super) struct Q4K;
impl Blocks<144> for Q4K {
    const GROUPS: usize = 8;
    #[inline(always)]
    fn group(block: &[u8; 144], index: usize) -> Group {
        k_group(block, k_nibbles(block, 16, index), index)
    }
}

pub(super) struct Q5K;
impl Blocks<176> for Q5K {
    const GROUPS: usize = 8;
    #[inline(always)]
    fn group(block: &[u8; 176], index: usize) -> Group {
        let fifth = std::array::from_fn(|i| (block[16 + i] >> index & 1) << 4);
        k_group(block, either(k_nibbles(block, 48, index), fifth), index)
    }
}

pub(super) struct Q6K;
impl Blocks<210> for Q6K {
    const GROUPS: usize = 8;
    #[inline(always)]
    fn group(block: &[u8; 210], index: usize) -> Group {
        // Half a block holds four groups: 64 bytes of low halves, 32 bytes with two high bits for each group.
        let (half, part) = (index / 4, index % 4);
        let low_at = half * 64 + part % 2 * 32;
        let high_at = 128 + half * 32;
        let numbers = std::array::from_fn(|i| {
            let low = block[low_at + i] >> (part / 2 * 4) & 15;
            let high = block[high_at + i] >> (part * 2) & 3;
            low | high << 4
        });
        let scale = |i: usize| half_at(block, 208) * f32::from(block[192 + 2 * index + i].cast_signed());
        Group {
            numbers: signed(numbers, 32),
            scales: [scale(0), scale(1)],
            minimum: 0.0,
        }
    }
}

#[cfg(test)]
pub(super) const ALL: [(Format, GgmlDType); 8] = [
    (Format::Q4_0, GgmlDType::Q4_0),
    (Format::Q4_1, GgmlDType::Q4_1),
    (Format::Q5_0, GgmlDType::Q5_0),
    (Format::Q5_1, GgmlDType::Q5_1),
    (Format::Q8_0, GgmlDType::Q8_0),
    (Format::Q4K, GgmlDType::Q4K),
    (Format::Q5K, GgmlDType::Q5K),
    (Format::Q6K, GgmlDType::Q6K),
];

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::quantized::QTensor;
    use candle_core::{Device, Tensor};

    #[test]
    fn weights_come_out_as_candle_has_them() {
        let x: Vec<f32> = (0..1024_u16)
            .map(|i| (f32::from(i) * 0.7).sin() * (1.0 + f32::from(i % 37)))
            .collect();
        let x = Tensor::from_vec(x, (2, 512), &Device::Cpu).unwrap();
        for (format, dtype) in ALL {
            let tensor = QTensor::quantize(&x, dtype).unwrap();
            let bytes = tensor.data().unwrap();
            assert_eq!(bytes.len(), 2 * format.row_bytes(512), "{format:?}");
            let mut weights = vec![0.0; 1024];
            format.dequantise(&bytes, &mut weights);
            let expected = tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
            assert_eq!(weights, expected.to_vec1::<f32>().unwrap(), "{format:?}");
            assert_eq!(Format::of(dtype), Some(format));
        }
        assert_eq!(Format::of(GgmlDType::Q2K), None);
    }
}
