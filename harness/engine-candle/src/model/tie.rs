//! Whether the two copies of a tied weight are the same: where embedding and head are on different devices, each has its
//! own, and a bad transfer or a file that is read twice can make them differ.

use candle_core::{DType, Device, Result as CandleResult, Tensor};
use placebench_core::outcome::WorkerFailure;
use placebench_engine::Context;
use placebench_engine::tie::{Tied, torn};

use super::decoder::Decoder;
use super::linear::Matrix;

/// Rows that are compared, spread evenly from the first to the last: a look, not a proof, that costs a few kilobytes.
const SAMPLED_ROWS: usize = 16;
/// Copies may be dequantised or rounded on different devices; beyond this share of a row's largest value they differ.
const TOLERANCE: f32 = 1.0 / 64.0;

impl Decoder {
    /// Compares what was loaded for the embedding and for a tied head elsewhere.
    ///
    /// # Errors
    /// When they differ, with both modules and devices.
    pub(crate) fn check_tie(&self, context: &Context) -> Result<(), WorkerFailure> {
        let (embedding, head) = (self.embedding.resident(), self.head.resident());
        let is_shared = self.head.own_bytes() == 0;
        let (true, false, Some(embedding), Some(head)) = (self.config.tie_word_embeddings, is_shared, embedding, head)
        else {
            return Ok(());
        };
        // A backend that cannot look up rows of a quantised matrix leaves the question open.
        let Ok(Some(how)) = difference(embedding, head.matrix(), self.config.vocab_size) else {
            return Ok(());
        };
        let (modules, _) = self.places();
        match (modules.last(), modules.first()) {
            (Some((copy, at)), Some((original, on))) => {
                let tied = |module, device| Tied { module, device };
                Err(torn(context, tied(copy, at), tied(original, on), &how))
            }
            _ => Ok(()),
        }
    }
}

/// In what two matrices of so many rows differ, if they do.
fn difference(one: &Matrix, other: &Matrix, rows: usize) -> CandleResult<Option<String>> {
    let sampled = sampled(rows);
    let (one, other) = (sample(one, &sampled)?, sample(other, &sampled)?);
    let differing = sampled.iter().zip(one.iter().zip(&other)).find_map(|(row, (a, b))| {
        let largest = a.iter().chain(b).fold(0_f32, |largest, x| largest.max(x.abs()));
        let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0_f32, f32::max);
        (apart > TOLERANCE * largest).then(|| {
            format!(
                "values of row {row} of {rows} are up to {apart:.3e} apart, the largest of them being {largest:.3e}"
            )
        })
    });
    Ok(differing)
}

fn sampled(rows: usize) -> Vec<u32> {
    let last = rows.saturating_sub(1);
    let mut sampled: Vec<u32> = (0..SAMPLED_ROWS)
        .filter_map(|index| u32::try_from(index * last / (SAMPLED_ROWS - 1)).ok())
        .collect();
    sampled.dedup();
    sampled
}

fn sample(matrix: &Matrix, rows: &[u32]) -> CandleResult<Vec<Vec<f32>>> {
    let ids = Tensor::new(rows, &matrix.device())?;
    matrix
        .rows(&ids)?
        .to_dtype(DType::F32)?
        .to_device(&Device::Cpu)?
        .to_vec2()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(values: &[f32]) -> Matrix {
        Matrix::Dense(Tensor::from_slice(values, (values.len() / 2, 2), &Device::Cpu).unwrap())
    }

    #[test]
    fn the_same_and_rounded_copies_pass_and_others_name_the_row() {
        let one = matrix(&[1.0, 2.0, -3.0, 4.0]);
        assert_eq!(difference(&one, &one, 2).unwrap(), None);
        let rounded = matrix(&[1.001, 2.0, -3.01, 4.0]);
        assert_eq!(difference(&one, &rounded, 2).unwrap(), None);
        let zeroed = matrix(&[1.0, 2.0, 0.0, 0.0]);
        let how = difference(&one, &zeroed, 2).unwrap().unwrap();
        assert!(how.starts_with("values of row 1 of 2 are up to 4.000e0 apart"), "{how}");
    }

    #[test]
    fn samples_reach_from_the_first_row_to_the_last() {
        assert_eq!(sampled(3), [0, 1, 2]);
        let many = sampled(1000);
        assert_eq!(
            (many.len(), many.first(), many.last()),
            (SAMPLED_ROWS, Some(&0), Some(&999))
        );
        assert_eq!(sampled(1), [0]);
    }
}
