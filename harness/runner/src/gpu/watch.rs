//! Sampling the GPUs beside an attempt, in a thread of its own: a sick driver may never answer, and must not hold up the
//! supervisor then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use placebench_core::device::{DeviceId, DeviceKind};
use placebench_core::placement::DeviceMapRequest;
use placebench_core::protocol::WorkerRequest;
use placebench_core::record::GpuTelemetry;

use super::nvml::{Driver, Sample};

/// Pause between two samples: the driver renews its figures a few times a second.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the last answer may take.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// GPUs that are being sampled.
pub(crate) struct GpuWatch {
    stop: Arc<AtomicBool>,
    thread: thread::Thread,
    result: Receiver<Vec<GpuTelemetry>>,
}

impl GpuWatch {
    /// Begins to sample, where the request may use a GPU of NVIDIA.
    pub(crate) fn start(request: &WorkerRequest) -> Option<Self> {
        if !may_use_cuda(request) {
            return None;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, result) = channel();
        let told = Arc::clone(&stop);
        let thread = thread::Builder::new().name("gpu-watch".to_owned());
        let started = thread.spawn(move || {
            // Whoever asked may have given up on the answer.
            let _unheard = sender.send(watch(&told));
        });
        let thread = started.ok()?.thread().clone();
        Some(Self { stop, thread, result })
    }

    /// Takes a last sample and sums up; `None` where the driver does not answer any more.
    pub(crate) fn stop(self) -> Option<Vec<GpuTelemetry>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
        self.result.recv_timeout(LAST_ANSWER).ok()
    }
}

/// Names a CUDA device, or leaves it to a planner that may find one.
fn may_use_cuda(request: &WorkerRequest) -> bool {
    let is_cuda = |device: &DeviceId| matches!(device.kind(), DeviceKind::Cuda(_));
    let placement = &request.placement;
    let mapped = match &placement.device_map {
        DeviceMapRequest::Single(device) => is_cuda(device),
        DeviceMapRequest::Manual(map) => map.iter().any(|(_, device)| is_cuda(device)),
        DeviceMapRequest::Strategy(_) | DeviceMapRequest::Optimal(_) => match &placement.max_memory {
            Some(budgets) => budgets.iter().any(|(device, _)| is_cuda(device)),
            None => request.devices.is_empty(),
        },
    };
    mapped || request.devices.iter().any(|device| is_cuda(&device.on))
}

fn watch(stop: &AtomicBool) -> Vec<GpuTelemetry> {
    let Ok(driver) = Driver::open() else {
        return Vec::new();
    };
    let version = driver.version();
    let mut gpus: Vec<(u32, GpuTelemetry, Sums)> = driver
        .gpus()
        .into_iter()
        .map(|facts| {
            let telemetry = GpuTelemetry {
                index: facts.index,
                uuid: facts.uuid,
                name: facts.name,
                bus_id: facts.bus_id,
                driver: version.clone(),
                memory_bytes: facts.memory_bytes,
                sm_clock_limit_mhz: facts.sm_clock_limit_mhz,
                ..GpuTelemetry::default()
            };
            (facts.index, telemetry, Sums::default())
        })
        .collect();
    loop {
        // Looked at before sampling, so that the last sample is taken after the end.
        let is_last = stop.load(Ordering::Relaxed);
        for (index, telemetry, sums) in &mut gpus {
            if let Some(sample) = driver.sample(*index) {
                sums.add(telemetry, sample);
            }
        }
        if is_last {
            return gpus.into_iter().map(|(_, telemetry, _)| telemetry).collect();
        }
        thread::park_timeout(PAUSE);
    }
}

/// What means are made of.
#[derive(Debug, Default)]
struct Sums {
    utilisation: (f64, u32),
    power: (f64, u32),
}

impl Sums {
    fn add(&mut self, gpu: &mut GpuTelemetry, sample: Sample) {
        gpu.samples += 1;
        if let Some(used) = sample.memory_used {
            gpu.memory_before_bytes.get_or_insert(used);
            gpu.memory_peak_bytes = gpu.memory_peak_bytes.max(Some(used));
            gpu.memory_after_bytes = Some(used);
        }
        if let Some(percent) = sample.utilisation_percent {
            gpu.utilisation_mean_percent = Some(mean(&mut self.utilisation, f64::from(percent)));
            gpu.utilisation_max_percent = gpu.utilisation_max_percent.max(Some(percent));
        }
        if let Some(watts) = sample.power_w {
            gpu.power_mean_w = Some(mean(&mut self.power, watts));
            gpu.power_max_w = Some(gpu.power_max_w.map_or(watts, |most| most.max(watts)));
        }
        if let Some(clock) = sample.sm_clock_mhz {
            gpu.sm_clock_min_mhz = Some(gpu.sm_clock_min_mhz.map_or(clock, |least| least.min(clock)));
            gpu.sm_clock_max_mhz = gpu.sm_clock_max_mhz.max(Some(clock));
        }
        gpu.temperature_max_c = gpu.temperature_max_c.max(sample.temperature_c);
        for reason in sample.throttle_reasons {
            if !gpu.throttle_reasons.iter().any(|known| known == reason) {
                gpu.throttle_reasons.push(reason.to_owned());
            }
        }
    }
}

fn mean((sum, count): &mut (f64, u32), value: f64) -> f64 {
    *sum += value;
    *count += 1;
    *sum / f64::from(*count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::run::request_of;
    use placebench_core::device::LogicalDevice;
    use placebench_core::placement::StrategyName;
    use placebench_core::units::Bytes;

    #[test]
    fn samples_are_summed_up() {
        let mut gpu = GpuTelemetry::default();
        let mut sums = Sums::default();
        for (used, percent, watts, clock) in [(10, 0, 50.0, 1000), (90, 100, 250.0, 400), (20, 50, 100.0, 900)] {
            let sample = Sample {
                memory_used: Some(Bytes(used)),
                utilisation_percent: Some(percent),
                power_w: Some(watts),
                sm_clock_mhz: Some(clock),
                temperature_c: None,
                throttle_reasons: if clock == 400 { vec!["power cap"] } else { Vec::new() },
            };
            sums.add(&mut gpu, sample);
        }
        assert_eq!(gpu.samples, 3);
        let memory = [gpu.memory_before_bytes, gpu.memory_peak_bytes, gpu.memory_after_bytes];
        assert_eq!(memory, [Some(Bytes(10)), Some(Bytes(90)), Some(Bytes(20))]);
        assert_eq!(
            (gpu.utilisation_mean_percent, gpu.utilisation_max_percent),
            (Some(50.0), Some(100))
        );
        assert_eq!(
            (gpu.power_max_w, gpu.sm_clock_min_mhz, gpu.sm_clock_max_mhz),
            (Some(250.0), Some(400), Some(1000))
        );
        assert_eq!(
            (gpu.temperature_max_c, gpu.throttle_reasons),
            (None, vec!["power cap".to_owned()])
        );
    }

    #[test]
    fn only_requests_that_may_use_a_gpu_are_watched() {
        let device = |name: &str| DeviceId::new(name).unwrap();
        let with = |device_map: DeviceMapRequest, logical: &[(&str, &str)]| {
            let mut request = request_of(&fixture::case(), 1);
            request.placement.device_map = device_map;
            request.devices = logical
                .iter()
                .map(|(id, on)| LogicalDevice {
                    id: device(id),
                    on: device(on),
                    memory_bytes: None,
                })
                .collect();
            may_use_cuda(&request)
        };
        let auto = || DeviceMapRequest::Strategy(StrategyName::Auto);
        assert!(with(DeviceMapRequest::Single(device("cuda:1")), &[]));
        assert!(with(auto(), &[]));
        assert!(with(auto(), &[("half:0", "cuda:0")]));
        assert!(!with(DeviceMapRequest::Single(device("cpu")), &[]));
        assert!(!with(auto(), &[("sim:0", "cpu")]));
    }
}
