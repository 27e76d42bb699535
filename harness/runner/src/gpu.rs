//! What NVIDIA's driver says about its GPUs: who they are, and how they do while an attempt runs.
//!
//! The management library (NVML) is looked for when it is asked, so the same program runs where there is none.

mod nvml;
mod processes;
mod watch;

pub use nvml::{LIBRARY_ENV, foreign_processes, open_library, slowed_by};
pub(crate) use watch::{GpuWatch, Watched, least_free_memory};
