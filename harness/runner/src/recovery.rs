//! Whether what a worker held came back once it had been ended.

use std::thread;
use std::time::{Duration, Instant};

use placebench_core::evidence::Recovery;

use crate::evidence::{processes_of_group, resident};
use crate::gpu::{GpuWatch, Watched};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until nothing of a worker's group is left and the memory of its GPUs is back, or for as long as is allowed. Also
/// returns what the GPUs did meanwhile, where the driver still answers.
pub(crate) fn check(group: u32, gpus: Option<GpuWatch>, patience: Duration) -> (Recovery, Option<Watched>) {
    let start = Instant::now();
    let until = start + patience;
    if let Some(gpus) = &gpus {
        gpus.await_recovery(until);
    }
    let mut left = processes_of_group(group);
    while !left.is_empty() && Instant::now() < until {
        thread::sleep(PAUSE);
        left = processes_of_group(group);
    }
    let rss_left_bytes = resident(&left);
    let (mut gpus, telemetry) = gpus.map_or((Vec::new(), None), |gpus| gpus.recovered(until));
    if !left.is_empty() {
        // Whatever the driver counts, a process that cannot be ended still has its devices open.
        gpus.iter_mut().for_each(|gpu| gpu.recovered = false);
    }
    let recovery = Recovery {
        after_s: start.elapsed().as_secs_f64(),
        processes_left: u32::try_from(left.len()).unwrap_or(u32::MAX),
        rss_left_bytes,
        gpus,
    };
    (recovery, telemetry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn sleeper() -> Child {
        use std::os::unix::process::CommandExt;
        Command::new("sleep").arg("100000").process_group(0).spawn().unwrap()
    }

    #[test]
    fn a_process_that_stays_is_no_recovery() {
        let mut child = sleeper();
        let (recovery, telemetry) = check(child.id(), None, Duration::ZERO);
        child.kill().unwrap();
        child.wait().unwrap();
        if cfg!(target_os = "linux") {
            assert_eq!(recovery.processes_left, 1);
            assert!(!recovery.is_complete() && recovery.rss_left_bytes.is_some());
        }
        assert_eq!(telemetry, None);
    }

    #[test]
    fn a_process_that_has_gone_is_waited_for_no_longer() {
        let mut child = sleeper();
        child.kill().unwrap();
        child.wait().unwrap();
        let (recovery, _) = check(child.id(), None, Duration::from_secs(600));
        assert!(recovery.is_complete() && recovery.after_s < 300.0);
    }
}
