//! A worker that misbehaves on demand: what the tests of the supervision let it watch.
//!
//! `fake_worker MODE`, where a mode is a word with an argument: `ok`, `exit:3`, `hang:decode`, `signal:11`, …
//! `fake_worker supervise PROGRAM MODE` is a supervisor of such a worker, for tests that kill the supervisor.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use placebench_core::breadcrumb::{MAGIC, word};
use placebench_core::device::DeviceId;
use placebench_core::outcome::{FailureClass, Hop, Phase, WorkerFailure};
use placebench_core::protocol::{
    BREADCRUMB_ENV, EventKind, FinishReason, Generation, MemoryFigure, MemoryKind, PROTOCOL_VERSION, RealisedModule,
    SUPERVISOR_PID_ENV, WorkerEvent, WorkerRequest,
};
use placebench_core::units::Bytes;
use rustix::process::Signal;

#[path = "../src/fixture.rs"]
mod fixture;

const TOKENS: u32 = 3;
const NOISE_BYTES: usize = 64 << 20;
/// Each of 15 MiB.
const HUGE_LINES: usize = 24;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|first| first == "supervise") {
        return supervise(&args[1], &args[2]);
    }
    if args.first().is_some_and(|first| first == "trace") {
        return trace(&args[1]);
    }
    let (mode, argument) = args[0].split_once(':').unwrap_or((&args[0], ""));
    match Worker::new(mode, argument).and_then(|mut worker| worker.run()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            drop(writeln!(io::stderr(), "fake worker: {error}"));
            ExitCode::from(70)
        }
    }
}

/// Runs one attempt, tells the worker's process id on standard output, and on standard error what the worker told there,
/// what became of it, and how much memory that took.
fn supervise(program: &str, mode: &str) -> ExitCode {
    use placebench_runner::supervisor::{Observation, WorkerCommand, run_attempt};
    let case = fixture::case();
    let mut worker = 0;
    let attempt = run_attempt(
        &WorkerCommand::new(program, [mode]),
        &case,
        &placebench_runner::run::request_of(&case, 1),
        0,
        None,
        &placebench_runner::cancel::Cancel::new(),
        &mut |observation| match observation {
            Observation::Spawned { pid } => worker = pid,
            Observation::Event(event) if matches!(event.kind, EventKind::Started { .. }) => {
                drop(writeln!(io::stdout(), "{worker}"));
            }
            // Whoever watches takes its time, as a slow terminal does.
            Observation::Event(event) if matches!(event.kind, EventKind::Fetching { .. }) => {
                std::thread::sleep(Duration::from_millis(250));
            }
            _ => {}
        },
    );
    if let Ok(attempt) = &attempt {
        drop(write!(io::stderr(), "{}", attempt.stderr_tail));
        drop(writeln!(io::stderr(), "outcome: {}", attempt.outcome.sentence()));
    }
    drop(writeln!(io::stderr(), "{}", peak_rss()));
    ExitCode::from(u8::from(attempt.is_err()))
}

/// `VmHWM:  1234 kB`, the most memory this process ever had.
fn peak_rss() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.unwrap_or_default().to_owned()
}

/// Traces a process and keeps at it, so that nobody else can; says so in a line.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
fn trace(pid: &str) -> ExitCode {
    use nix::sys::ptrace::{Options, seize};
    let seized = pid
        .parse()
        .map(|pid| seize(nix::unistd::Pid::from_raw(pid), Options::empty()));
    drop(writeln!(io::stdout(), "{seized:?}"));
    hang_for_ever()
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn trace(_pid: &str) -> ExitCode {
    ExitCode::from(72)
}

/// Where every hang of this program sleeps.
#[inline(never)]
fn hang_for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(100_000));
    }
}

/// Where the idle threads of a pool sleep.
#[inline(never)]
fn idle_in_a_pool() {
    hang_for_ever()
}

/// Threads beside the first one, named and asleep.
fn start_pool() -> io::Result<()> {
    for name in ["pool-0", "pool-1"] {
        std::thread::Builder::new().name(name.into()).spawn(idle_in_a_pool)?;
    }
    Ok(())
}

/// Threads that end the process as soon as its first thread is traced.
#[expect(
    clippy::exit,
    reason = "the whole process is to end, from a thread that is not its first"
)]
fn start_witnesses() {
    let is_traced = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        tracer.is_some_and(|pid| pid.trim() != "0")
    };
    for _ in 0..3 {
        std::thread::spawn(move || {
            while !is_traced() {
                std::thread::yield_now();
            }
            std::process::exit(9);
        });
    }
}

struct Worker<'a> {
    mode: &'a str,
    argument: &'a str,
    page: Option<std::fs::File>,
    start: Instant,
}

impl<'a> Worker<'a> {
    fn new(mode: &'a str, argument: &'a str) -> io::Result<Self> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
        if std::env::var(SUPERVISOR_PID_ENV).ok() != parent {
            return Err(io::Error::other("the supervisor is gone"));
        }
        let page = std::env::var_os(BREADCRUMB_ENV)
            .filter(|_| mode != "hang_without_breadcrumb")
            .map(|path| std::fs::OpenOptions::new().write(true).open(path))
            .transpose()?;
        Ok(Self {
            mode,
            argument,
            page,
            start: Instant::now(),
        })
    }

    fn run(&mut self) -> io::Result<u8> {
        self.mark(word::MAGIC, MAGIC)?;
        match self.mode {
            "exit" => return Ok(self.argument.parse().unwrap_or(71)),
            "stdout_noise" => {
                return noise(&mut io::stdout(), b"not an event at all, only a line\n");
            }
            "stdout_blob" => return noise(&mut io::stdout(), b"no newline ever "),
            "stderr_noise" => drop(noise(&mut io::stderr(), b"a warning nobody reads\n")?),
            "raw" => {
                // Whatever the test wants to be said first.
                io::stdout().write_all(self.argument.as_bytes())?;
            }
            "huge_lines" => return self.huge_lines(),
            "not_utf8" => io::stdout().write_all(b"\xff\xfe\n")?,
            "env" => {
                for (name, value) in std::env::vars() {
                    writeln!(io::stderr(), "{name}={value}")?;
                }
            }
            "hang_with_pool" => start_pool()?,
            "hang_traced" => self.be_traced()?,
            "exit_when_traced" => start_witnesses(),
            _ => {}
        }
        self.hang_at("spawn");
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        let request: WorkerRequest = serde_json::from_str(&text)?;
        self.load()?;
        if self.mode == "error" || self.mode == "error_then_hang" {
            self.fail()?;
            self.hang_at("");
            return Ok(1);
        }
        if self.mode == "hang_ranks" {
            self.ranks()?;
        }
        for number in 0..request.warmup + request.repetitions {
            self.generate(number, number < request.warmup)?;
        }
        match self.mode {
            "silent" => return Ok(0),
            "half_line" | "half_line_then_hang" => {
                write!(io::stdout(), "{{\"t_s\":1.0,\"event\":\"do")?;
                io::stdout().flush()?;
                self.die_at("half_line");
                if self.mode == "half_line_then_hang" {
                    hang_for_ever();
                }
                return Ok(0);
            }
            _ => {}
        }
        self.say(EventKind::Done)?;
        if self.mode == "after_done" {
            self.say(EventKind::Done)?;
        }
        if self.mode == "grandchild" {
            self.leave_grandchild()?;
        }
        self.hang_at("exit");
        Ok(if self.mode == "done_then_exit" { 3 } else { 0 })
    }

    fn load(&mut self) -> io::Result<()> {
        let protocol = if self.mode == "version" { 99 } else { PROTOCOL_VERSION };
        if self.mode != "no_hello" {
            self.hello(protocol)?;
        }
        self.phase(Phase::Load)?;
        if self.mode == "allocate" {
            let block = vec![1_u8; NOISE_BYTES];
            std::hint::black_box(&block);
            std::thread::sleep(Duration::from_secs(100_000));
        }
        if self.mode == "slow_fetch" {
            self.fetch_slowly()?;
        }
        self.hang_at("load");
        let (first, second) = (device("sim:0"), device("sim:1"));
        self.say(EventKind::Places {
            modules: vec![
                ("model.layers.0".into(), first.clone()),
                ("model.layers.1".into(), second.clone()),
            ],
            hops: vec![Hop {
                from_module: "model.layers.0".into(),
                to_module: "model.layers.1".into(),
                from_device: first.clone(),
                to_device: second,
            }],
        })?;
        self.say(EventKind::Loaded {
            realised: vec![RealisedModule {
                module: "model.layers.0".into(),
                device: first,
                bytes: Bytes(64),
                rank: None,
            }],
            unused_tensors: Vec::new(),
            eos_token_ids: None,
        })
    }

    /// A file that comes in 25 pieces, ten a second.
    fn fetch_slowly(&mut self) -> io::Result<()> {
        for piece in 1..=25 {
            std::thread::sleep(Duration::from_millis(100));
            self.say(EventKind::Fetching {
                file: "model.safetensors".into(),
                done_bytes: Bytes(piece),
                total_bytes: Bytes(25),
            })?;
        }
        Ok(())
    }

    fn generate(&mut self, number: u32, warmup: bool) -> io::Result<()> {
        self.say(EventKind::Started {
            generation: number,
            warmup,
        })?;
        self.phase(Phase::Prefill)?;
        self.hang_at("prefill");
        let slow = self.mode == "slow";
        let tokens = if slow { 25 } else { TOKENS };
        for index in 0..tokens {
            self.mark(word::TOKEN, u64::from(index) + 1)?;
            self.hop()?;
            if index == 1 {
                self.phase(Phase::Decode)?;
                self.hop()?;
                self.hang_at("decode");
                self.die_at("decode");
                self.chatter()?;
            }
            if slow {
                std::thread::sleep(Duration::from_millis(100));
            }
            let index = if self.mode == "skipped_token" { index + 1 } else { index };
            self.say(EventKind::Token {
                generation: number,
                sequence: 0,
                index,
                id: Some(100 + index),
                top2_gap: Some(0.5),
            })?;
        }
        for bytes in [1000, 2000] {
            self.memory(bytes)?;
        }
        self.phase(Phase::Finish)?;
        self.hang_at("finish");
        let mut result = generation(tokens);
        match (self.mode, result.output_ids.first_mut()) {
            // Says one thing while it streams and another in the end.
            ("other_token_in_the_end", Some(first)) => *first += 1,
            ("token_left_out_in_the_end", _) => {
                result.output_ids.pop();
                result.token_stamps_s.pop();
            }
            _ => {}
        }
        let finished = EventKind::Finished {
            generation: number,
            warmup,
            result,
        };
        if self.mode == "double_finish" {
            self.say(finished.clone())?;
        }
        self.say(finished)
    }

    /// Events that are in order, each nearly as long as a line may be, as fast as they can be written.
    fn huge_lines(&mut self) -> io::Result<u8> {
        self.hello(PROTOCOL_VERSION)?;
        let event = EventKind::Fetching {
            file: "x".repeat(15 << 20),
            done_bytes: Bytes(0),
            total_bytes: Bytes(1),
        };
        let mut line = serde_json::to_vec(&WorkerEvent { t_s: 1.0, kind: event })?;
        line.push(b'\n');
        for _ in 0..HUGE_LINES {
            io::stdout().write_all(&line)?;
        }
        Ok(0)
    }

    fn hello(&mut self, protocol: u32) -> io::Result<()> {
        self.say(EventKind::Hello {
            protocol,
            engine: "fake".into(),
            versions: vec!["fake 1".into()],
            profile: "debug".into(),
            stacks: None,
        })
    }

    fn fail(&mut self) -> io::Result<()> {
        let class = serde_json::from_value(self.argument.into()).unwrap_or(FailureClass::Internal);
        self.say(EventKind::Error {
            failure: WorkerFailure {
                class,
                message: "said so itself".into(),
                phase: Phase::Load,
                device: Some(device("sim:0")),
                needed_bytes: Some(Bytes(2)),
                allowed_bytes: Some(Bytes(1)),
                place: None,
                rank: None,
            },
        })
    }

    /// Says that it is alive and gets nothing done.
    fn chatter(&mut self) -> io::Result<()> {
        while self.mode == "chatter" {
            self.memory(1)?;
            self.say(EventKind::Phase { phase: Phase::Decode })?;
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn hang_at(&self, point: &str) {
        let hangs = matches!(
            self.mode,
            "hang" | "hang_ranks" | "hang_without_breadcrumb" | "hang_with_pool" | "hang_traced" | "exit_when_traced"
        ) && self.argument == point;
        if hangs || (self.mode == "error_then_hang" && point.is_empty()) {
            hang_for_ever();
        }
    }

    fn die_at(&self, point: &str) {
        let dies = match self.mode {
            "abort" | "signal" => point == "decode",
            "stop" => point == self.argument,
            "half_line" => point == "half_line" && !self.argument.is_empty(),
            _ => false,
        };
        if dies && self.mode == "abort" {
            std::process::abort();
        }
        if dies && self.mode == "stop" {
            drop(rustix::process::kill_process(rustix::process::getpid(), Signal::STOP).map_err(io::Error::from));
            hang_for_ever();
        }
        let signal = self.argument.parse().ok().and_then(Signal::from_named_raw);
        // More than once: the first SIGSEGV only makes the language's own handler step aside.
        while let (true, Some(signal)) = (dies, signal) {
            drop(rustix::process::kill_process(rustix::process::getpid(), signal).map_err(io::Error::from));
        }
    }

    /// A process that outlives this one and holds its pipes; `own` puts it into a group of its own, `session` into a session
    /// of its own, as a daemon does: forked twice, so that its parent has gone as well.
    fn leave_grandchild(&self) -> io::Result<()> {
        use std::os::unix::process::CommandExt;
        if self.argument == "session" {
            let daemon = "setsid sh -c 'echo grandchild $$ >&2; exec sleep 100000' &";
            Command::new("sh").args(["-c", daemon]).status()?;
            // Its parent has ended and the worker ends now; it holds both pipes from its first moment on.
            return Ok(());
        }
        let mut command = Command::new("sleep");
        command.arg("100000");
        if self.argument == "own" {
            command.process_group(0);
        }
        let child = command.spawn()?;
        writeln!(io::stderr(), "grandchild {}", child.id())
    }

    /// Lets another process of its group trace its first thread.
    fn be_traced(&self) -> io::Result<()> {
        use std::io::BufRead;
        // A kernel without Yama knows no such permission, and needs none.
        #[cfg(target_os = "linux")]
        drop(rustix::process::set_ptracer(rustix::process::PTracer::Any).map_err(io::Error::from));
        let mut tracer = Command::new(std::env::current_exe()?);
        tracer.arg("trace").arg(std::process::id().to_string());
        let mut child = tracer.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut said = String::new();
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        io::BufReader::new(output).read_line(&mut said)?;
        write!(io::stderr(), "tracer: {said}")
    }

    fn memory(&mut self, bytes: u64) -> io::Result<()> {
        self.say(EventKind::Memory(MemoryFigure {
            device: device("sim:0"),
            kind: MemoryKind::Peak,
            bytes: Bytes(bytes),
            allowed_bytes: None,
        }))
    }

    fn phase(&mut self, phase: Phase) -> io::Result<()> {
        self.mark(word::PHASE, u64::from(phase.index()) + 1)?;
        self.mark(word::PLACE_KIND, 0)?;
        self.stamp()?;
        self.say(EventKind::Phase { phase })
    }

    fn hop(&mut self) -> io::Result<()> {
        self.mark(word::PLACE_INDEX, 0)?;
        self.mark(word::PLACE_KIND, 2)?;
        self.stamp()
    }

    /// Rank 0 has made its second token and waits for rank 1, which is still in its first module; rank 2 was never heard of.
    fn ranks(&mut self) -> io::Result<()> {
        for (rank, token, place) in [(0, 2, 0), (1, 1, 1)] {
            let block = word::COUNT * (rank + 1);
            self.mark(block + word::PHASE, u64::from(Phase::Decode.index()) + 1)?;
            self.mark(block + word::TOKEN, token + 1)?;
            self.mark(block + word::PLACE_KIND, place)?;
            self.mark(block + word::MAGIC, MAGIC)?;
        }
        Ok(())
    }

    fn stamp(&mut self) -> io::Result<()> {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let nanoseconds =
            u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0);
        self.mark(word::STAMP_NS, nanoseconds)
    }

    fn mark(&mut self, index: usize, value: u64) -> io::Result<()> {
        let Some(page) = &mut self.page else {
            return Ok(());
        };
        page.seek(SeekFrom::Start(index as u64 * 8))?;
        page.write_all(&value.to_le_bytes())
    }

    fn say(&mut self, kind: EventKind) -> io::Result<()> {
        let t_s = self.start.elapsed().as_secs_f64();
        let mut line = serde_json::to_vec(&WorkerEvent { t_s, kind })?;
        line.push(b'\n');
        io::stdout().write_all(&line)?;
        io::stdout().flush()
    }
}

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap_or_else(|_| DeviceId::cpu())
}

fn generation(tokens: u32) -> Generation {
    Generation {
        input_ids: vec![1],
        output_ids: (100..100 + tokens).collect(),
        text: "and then".into(),
        finish_reason: FinishReason::Length,
        start_s: 0.0,
        token_stamps_s: (0..tokens).map(|index| f64::from(index) * 0.1).collect(),
        top2_gaps: vec![0.5; TOKENS as usize],
        top5: Vec::new(),
        hops: vec![1; TOKENS as usize],
        transfer_bytes: vec![8; TOKENS as usize],
        streamed_bytes: Vec::new(),
        stage_times_s: Vec::new(),
        text_offsets: Vec::new(),
        companions: Vec::new(),
        input_tokens: None,
        output_tokens: None,
    }
}

fn noise(sink: &mut dyn Write, piece: &[u8]) -> io::Result<u8> {
    let block = piece.repeat(1 + 65536 / piece.len());
    for _ in 0..NOISE_BYTES / block.len() {
        sink.write_all(&block)?;
    }
    sink.flush()?;
    Ok(0)
}
