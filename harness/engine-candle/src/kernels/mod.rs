//! Computation on the host where candle's own is far from what the processor can do.
//!
//! Weights are read where candle keeps them: nothing here owns a copy. Which instructions are used is decided when the
//! program runs ([`isa`]), so that one build serves every processor. What runs on a GPU never comes here.

mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_dense;
#[cfg(target_arch = "x86_64")]
mod avx2_vector;
mod elementwise;
mod format;
mod gate;
mod gemm;
mod isa;
mod linear;
mod panels;
mod portable;
mod product;
mod rows;
mod threads;

pub(crate) use attention::attend;
pub(crate) use gate::gated;
pub(crate) use linear::{Operand, multiply};
