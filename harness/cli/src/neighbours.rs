//! Processes of others that computed on a GPU during a run, told once at its end.

use placebench_core::record::{GpuProcess, RunRecord};

use crate::terminal::{counted, out, printable};

/// Says who they were, and in how many attempts.
pub(crate) fn print(record: &RunRecord) {
    let disturbed = record
        .attempts
        .iter()
        .filter(|attempt| !attempt.foreign_processes.is_empty());
    let attempts = disturbed.clone().count();
    if attempts == 0 {
        return;
    }
    let processes = GpuProcess::distinct_words(disturbed.flat_map(|attempt| &attempt.foreign_processes));
    out("");
    out(&format!(
        "other programs computed on the GPU during {}: {}",
        counted(attempts, "attempt"),
        printable(&processes.join(", "))
    ));
    out("times of these attempts are no basis for a verdict: end the programs, or wait for them, and run again");
}
