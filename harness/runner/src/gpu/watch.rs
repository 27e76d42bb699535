//! Sampling the GPUs beside an attempt, in a thread of its own: a sick driver may never answer, and must not hold up the
//! supervisor then.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use placebench_core::evidence::{GpuMoment, GpuRecovery};
use placebench_core::protocol::WorkerRequest;
use placebench_core::record::{GpuProcess, GpuTelemetry};
use placebench_core::units::Bytes;

use super::nvml::{Driver, GpuFacts, Sample};
use super::processes::{Census, Procfs};
use crate::devices::{CudaOrder, CudaUse, GpuId};

/// Pause between two samples: the driver renews its figures a few times a second.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the first and the last answer may take.
const ANSWER: Duration = Duration::from_secs(1);
/// What may be in use beyond what was in use before: desktops and the driver itself take and return some.
const TOLERANCE: Bytes = Bytes(128 << 20);

/// The processes on a card are counted at every so manyth sample, and at the first and the last.
const SAMPLES_PER_COUNT: u32 = 10;

/// What was seen of the GPUs in the course of an attempt.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Watched {
    /// How they did.
    pub(crate) gpus: Vec<GpuTelemetry>,
    /// Processes of others on those that the case may use.
    pub(crate) foreign_processes: Vec<GpuProcess>,
}

/// GPUs that are being sampled.
pub(crate) struct GpuWatch {
    shared: Arc<Shared>,
    thread: thread::Thread,
    result: Receiver<Watched>,
    uses: CudaUse,
    env: Vec<(String, String)>,
}

/// What the sampling thread and the supervisor tell each other.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When to stop, once that is known.
    stop: Option<Stop>,
    /// When the driver last answered, and what.
    latest: Option<(Instant, Vec<(GpuTelemetry, Sample)>)>,
}

/// When sampling stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// After one more sample.
    Now,
    /// When the memory is back, or then.
    OnceRecovered(Instant),
}

impl Shared {
    /// Whoever panicked with the lock held left nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GpuWatch {
    /// Begins to sample, where the request may use a GPU of NVIDIA. The first sample is waited for, so that what is in use
    /// before the worker starts is known; but not for long.
    pub(crate) fn start(request: &WorkerRequest, env: &[(String, String)]) -> Option<Self> {
        let uses = CudaUse::of(&request.devices, &request.placement);
        if uses.is_none() {
            return None;
        }
        let shared = Arc::new(Shared::default());
        let (sender, result) = channel();
        let (ready, is_ready) = channel();
        let told = Arc::clone(&shared);
        let thread = thread::Builder::new().name("gpu-watch".to_owned());
        let started = thread.spawn(move || {
            // Whoever asked may have given up on the answer.
            let _unheard = sender.send(watch(&told, &mut || {
                let _unheard = ready.send(());
            }));
        });
        let thread = started.ok()?.thread().clone();
        // Whatever comes of it, the attempt is made.
        let _first = is_ready.recv_timeout(ANSWER);
        Some(Self {
            shared,
            thread,
            result,
            uses,
            env: env.to_vec(),
        })
    }

    /// The GPUs as the driver last told, without asking it: it may hang.
    pub(crate) fn moment(&self) -> Vec<GpuMoment> {
        let state = self.shared.lock();
        let Some((at, latest)) = &state.latest else {
            return Vec::new();
        };
        let age_s = at.elapsed().as_secs_f64();
        let one = |(gpu, sample): &(GpuTelemetry, Sample)| GpuMoment {
            index: gpu.index,
            name: gpu.name.clone(),
            age_s,
            memory_used_bytes: sample.memory_used,
            utilisation_percent: sample.utilisation_percent,
            power_w: sample.power_w,
        };
        latest.iter().map(one).collect()
    }

    /// Identities of the cards that may be used, as far as the driver has told.
    pub(crate) fn cards(&self) -> Vec<String> {
        let latest = self.shared.lock().latest.clone();
        let known: Vec<GpuTelemetry> = latest
            .into_iter()
            .flat_map(|(_, latest)| latest)
            .map(|(gpu, _)| gpu)
            .collect();
        let order = self.order(&known);
        let own = known.iter().filter(|gpu| self.may_use(gpu, &order));
        own.map(|gpu| gpu.uuid.clone()).collect()
    }

    /// Takes a last sample and sums up; `None` where the driver does not answer any more.
    pub(crate) fn stop(self) -> Option<Watched> {
        self.tell(Stop::Now);
        let watched = self.result.recv_timeout(ANSWER).ok()?;
        Some(self.of_own_gpus(watched))
    }

    /// Leaves out processes on cards that the case cannot have used.
    fn of_own_gpus(&self, mut watched: Watched) -> Watched {
        let order = self.order(&watched.gpus);
        let may_be_used = |process: &GpuProcess| {
            let mut gpus = watched.gpus.iter().filter(|gpu| gpu.index == process.gpu);
            gpus.any(|gpu| self.may_use(gpu, &order))
        };
        watched.foreign_processes.retain(may_be_used);
        watched
    }

    fn order(&self, known: &[GpuTelemetry]) -> CudaOrder {
        let one_model = known.windows(2).all(|pair| pair[0].name == pair[1].name);
        CudaOrder::of(&self.env, one_model)
    }

    fn may_use(&self, gpu: &GpuTelemetry, order: &CudaOrder) -> bool {
        let id = GpuId {
            index: gpu.index,
            uuid: &gpu.uuid,
        };
        self.uses.may_be(id, order)
    }

    /// From now on memory is to come back: sampling goes on until it has, or until then.
    pub(crate) fn await_recovery(&self, until: Instant) {
        self.tell(Stop::OnceRecovered(until));
    }

    /// Whether the memory came back, and the summary as [`Self::stop`] gives it. To be called after
    /// [`Self::await_recovery`], with the same time.
    pub(crate) fn recovered(self, until: Instant) -> (Vec<GpuRecovery>, Option<Watched>) {
        let patience = until.saturating_duration_since(Instant::now()) + ANSWER;
        let answer = self.result.recv_timeout(patience).ok();
        let known = match &answer {
            Some(watched) => watched.gpus.clone(),
            None => {
                let state = self.shared.lock();
                let latest = state.latest.iter().flat_map(|(_, latest)| latest);
                latest.map(|(gpu, _)| gpu.clone()).collect()
            }
        };
        let order = self.order(&known);
        let own = known.iter().filter(|gpu| self.may_use(gpu, &order));
        let of = |gpu: &GpuTelemetry| GpuRecovery {
            index: gpu.index,
            uuid: gpu.uuid.clone(),
            name: gpu.name.clone(),
            before_bytes: gpu.memory_before_bytes,
            after_bytes: answer.as_ref().and(gpu.memory_after_bytes),
            recovered: answer.is_some() && has_recovered(gpu),
        };
        let recoveries = own.map(of).collect();
        (recoveries, answer.map(|watched| self.of_own_gpus(watched)))
    }

    fn tell(&self, stop: Stop) {
        self.shared.lock().stop = Some(stop);
        self.thread.unpark();
    }
}

/// Free memory of the card that has least of it, where the driver tells within a second.
pub(crate) fn least_free_memory() -> Option<Bytes> {
    let (sender, answer) = channel();
    let thread = thread::Builder::new().name("gpu-memory".to_owned());
    let asking = thread.spawn(move || {
        let free = |gpu: &GpuFacts, driver: &Driver| {
            let used = driver.sample(gpu.index)?.memory_used?;
            Some(Bytes(gpu.memory_bytes?.0.saturating_sub(used.0)))
        };
        let least = Driver::open().ok().and_then(|driver| {
            let cards = driver.gpus();
            let free: Option<Vec<Bytes>> = cards.iter().map(|gpu| free(gpu, &driver)).collect();
            free?.into_iter().min()
        });
        // Whoever asked may have given up on the answer.
        let _unheard = sender.send(least);
    });
    asking.ok()?;
    answer.recv_timeout(ANSWER).ok().flatten()
}

/// A card that does not tell its memory cannot be blamed for keeping it.
fn has_recovered(gpu: &GpuTelemetry) -> bool {
    match (gpu.memory_before_bytes, gpu.memory_after_bytes) {
        (Some(before), Some(after)) => after.0 <= before.0.saturating_add(TOLERANCE.0),
        _ => true,
    }
}

fn watch(shared: &Shared, ready: &mut dyn FnMut()) -> Watched {
    let Ok(driver) = Driver::open() else {
        return Watched::default();
    };
    let version = driver.version();
    let mut gpus: Vec<(GpuTelemetry, Sums, Census)> = driver
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
            (telemetry, Sums::default(), Census::default())
        })
        .collect();
    for turn in 0_u32.. {
        // Looked at before sampling, so that the last sample is taken after the end.
        let stop = shared.lock().stop;
        let mut latest = Vec::new();
        for (telemetry, sums, census) in &mut gpus {
            if turn.is_multiple_of(SAMPLES_PER_COUNT) || stop.is_some() {
                census.count(&driver.compute_processes(telemetry.index), &Procfs);
            }
            if let Some(sample) = driver.sample(telemetry.index) {
                sums.add(telemetry, &sample);
                latest.push((telemetry.clone(), sample));
            }
        }
        shared.lock().latest = Some((Instant::now(), latest));
        ready();
        let is_over = match stop {
            None => false,
            Some(Stop::Now) => true,
            Some(Stop::OnceRecovered(until)) => {
                gpus.iter().all(|(gpu, ..)| has_recovered(gpu)) || Instant::now() >= until
            }
        };
        if is_over {
            break;
        }
        thread::park_timeout(PAUSE);
    }
    let foreign = |(gpu, _, census): &(GpuTelemetry, Sums, Census)| census.foreign(gpu.index, &Procfs);
    Watched {
        foreign_processes: gpus.iter().flat_map(foreign).collect(),
        gpus: gpus.into_iter().map(|(telemetry, ..)| telemetry).collect(),
    }
}

/// What means are made of.
#[derive(Debug, Default)]
struct Sums {
    utilisation: (f64, u32),
    power: (f64, u32),
}

impl Sums {
    fn add(&mut self, gpu: &mut GpuTelemetry, sample: &Sample) {
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
        for reason in &sample.throttle_reasons {
            if !gpu.throttle_reasons.iter().any(|known| known == reason) {
                gpu.throttle_reasons.push((*reason).to_owned());
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
            sums.add(&mut gpu, &sample);
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
    fn memory_has_to_come_back_but_for_a_tolerance() {
        let gpu = |before: Option<u64>, after: Option<u64>| GpuTelemetry {
            memory_before_bytes: before.map(Bytes),
            memory_after_bytes: after.map(Bytes),
            ..GpuTelemetry::default()
        };
        assert!(has_recovered(&gpu(Some(5 << 30), Some((5 << 30) + TOLERANCE.0))));
        assert!(!has_recovered(&gpu(Some(5 << 30), Some((5 << 30) + TOLERANCE.0 + 1))));
        assert!(
            has_recovered(&gpu(Some(5 << 30), Some(1 << 30))),
            "somebody else has gone meanwhile"
        );
        assert!(has_recovered(&gpu(None, None)), "a card that does not tell");
    }

    #[test]
    fn requests_for_the_host_are_not_watched() {
        assert!(GpuWatch::start(&request_of(&fixture::case(), 1), &[]).is_none());
    }
}
