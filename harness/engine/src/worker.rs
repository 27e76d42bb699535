//! The worker's main: one request in, events out.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use placebench_core::outcome::{FailureClass, Phase, WorkerFailure};
use placebench_core::protocol::{BREADCRUMB_ENV, EventKind, PROTOCOL_VERSION, SUPERVISOR_PID_ENV, WorkerRequest};
use rustix::process::Signal;

use crate::breadcrumb::BreadcrumbWriter;
use crate::context::Context;
use crate::faults::FaultPlan;
use crate::{Engine, Session};

/// `debug` or `release`: how this binary was built.
#[must_use]
pub fn build_profile() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

/// Carries out the request on standard input with one of `engines`, and returns the process's exit code: 0 when it
/// succeeded, 1 when it reported a failure, 2 when it could not even start.
#[must_use]
pub fn run(engines: &[&'static dyn Engine]) -> u8 {
    let sink = match prepare_process() {
        Ok(sink) => sink,
        Err(error) => return complain(&format!("placebench worker: {error}")),
    };
    let mut text = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut text) {
        return complain(&format!("placebench worker: no request on standard input: {error}"));
    }
    let request: WorkerRequest = match serde_json::from_str(&text) {
        Ok(request) => request,
        Err(error) => return complain(&format!("placebench worker: the request cannot be read: {error}")),
    };
    let breadcrumb = std::env::var_os(BREADCRUMB_ENV)
        .map(PathBuf::from)
        .and_then(|path| BreadcrumbWriter::open(&path).ok())
        .unwrap_or_else(BreadcrumbWriter::unread);
    let faults = FaultPlan::new(request.faults.clone());
    faults.at_phase(Phase::Spawn);
    let mut context = Context::new(sink, breadcrumb, faults);
    if request.audit {
        context = context.audited();
    }
    match guarded(&mut context, |context| carry_out(engines, &request, context)) {
        Ok(()) => {
            context.emit(EventKind::Done);
            0
        }
        Err(failure) => {
            context.emit(EventKind::Error { failure });
            1
        }
    }
}

/// Lets an engine work, and turns a panic into a failure of class [`FailureClass::Panic`].
///
/// # Errors
/// What the engine reports, or that it panicked.
pub fn guarded<T>(
    context: &mut Context,
    work: impl FnOnce(&mut Context) -> Result<T, WorkerFailure>,
) -> Result<T, WorkerFailure> {
    match catch_unwind(AssertUnwindSafe(|| work(context))) {
        Ok(result) => result,
        Err(panic) => Err(context.failure(
            FailureClass::Panic,
            format!("the engine panicked: {}", panic_text(panic.as_ref())),
        )),
    }
}

/// Keeps stray prints out of the event stream, which is returned, and ties this process's life to the supervisor's.
///
/// # Errors
/// When the system refuses, or the supervisor is gone already.
pub fn prepare_process() -> std::io::Result<Box<dyn Write + Send>> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The supervisor may have died before the line above.
    let expected: Option<i32> = std::env::var(SUPERVISOR_PID_ENV).ok().and_then(|pid| pid.parse().ok());
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    if expected.is_some() && expected != parent {
        return Err(std::io::Error::other("the supervisor is gone"));
    }
    let events: OwnedFd = rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), 3)?;
    rustix::stdio::dup2_stdout(std::io::stderr())?;
    Ok(Box::new(std::fs::File::from(events)))
}

fn carry_out(
    engines: &[&'static dyn Engine],
    request: &WorkerRequest,
    context: &mut Context,
) -> Result<(), WorkerFailure> {
    let invalid = |context: &Context, message: String| Err(context.failure(FailureClass::RequestInvalid, message));
    if request.protocol != PROTOCOL_VERSION {
        return invalid(
            context,
            format!(
                "the supervisor speaks protocol {}, this worker {PROTOCOL_VERSION}",
                request.protocol
            ),
        );
    }
    let Some(engine) = engines.iter().find(|engine| engine.name() == request.engine) else {
        let names: Vec<&str> = engines.iter().map(|engine| engine.name()).collect();
        return invalid(
            context,
            format!(
                "no engine `{}` in this build; it has: {}",
                request.engine,
                names.join(", ")
            ),
        );
    };
    context.emit(EventKind::Hello {
        protocol: PROTOCOL_VERSION,
        engine: engine.name().to_owned(),
        versions: engine.versions(),
        profile: build_profile().to_owned(),
        stacks: None,
    });
    if let Some(fault) = request.faults.iter().find(|fault| !engine.supports_fault(fault.kind)) {
        return invalid(
            context,
            format!(
                "engine `{}` cannot inject the fault `{}`",
                engine.name(),
                fault.kind.as_str()
            ),
        );
    }
    let concurrency = request.placement.concurrency;
    if !engine.supports_concurrency(concurrency) {
        let (name, sequences) = (engine.name(), concurrency.sequences());
        return invalid(
            context,
            format!("engine `{name}` generates one sequence at a time, not {sequences} together"),
        );
    }
    if request.audit && !engine.supports_audit() {
        let name = engine.name();
        return invalid(
            context,
            format!("engine `{name}` cannot be audited: it does not tell what its modules make"),
        );
    }
    if request.audit && concurrency.sequences() > 1 {
        let message = "several sequences at once cannot be audited: leave out batch and in_flight";
        return invalid(context, message.to_owned());
    }
    if request.companion_prompts.len() + 1 != concurrency.sequences() as usize {
        let (prompts, sequences) = (request.companion_prompts.len() + 1, concurrency.sequences());
        return invalid(context, format!("{prompts} prompts for {sequences} sequences"));
    }
    context.set_transfer(request.placement.transfer);
    let mut session = engine.open(request, context)?;
    context.check_faults()?;
    generate_all(session.as_mut(), request, context)?;
    if !request.faults.is_empty() {
        context.report_faults();
    }
    Ok(())
}

fn generate_all(
    session: &mut dyn Session,
    request: &WorkerRequest,
    context: &mut Context,
) -> Result<(), WorkerFailure> {
    context.phase(Phase::Prepare);
    session.prepare(context)?;
    if request.probe
        && let Some(probe) = session.probe(context)?
    {
        context.emit(EventKind::Probed(probe));
    }
    for generation in 0..request.warmup.saturating_add(request.repetitions) {
        let warmup = generation < request.warmup;
        context.begin_generation(generation, warmup);
        let result = session.generate(context);
        // Of a generation that failed, what its last step had made.
        context.tell_audit();
        // Also after a failure: the peak at the time memory ran out is what the reader wants to see.
        for figure in session.memory() {
            context.emit(EventKind::Memory(figure));
        }
        context.phase(Phase::Finish);
        context.emit(EventKind::Finished {
            generation,
            warmup,
            result: result?,
        });
        let devices = session.held();
        if !devices.is_empty() {
            context.emit(EventKind::Held { generation, devices });
        }
    }
    Ok(())
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// Standard error is all that is left to a worker that cannot speak the protocol.
fn complain(message: &str) -> u8 {
    drop(writeln!(std::io::stderr(), "{message}"));
    2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_and_anything_else_is_itself() {
        let mut context = Context::unheard();
        let failure = guarded(&mut context, |_| -> Result<(), WorkerFailure> { panic!("index {}", 7) }).unwrap_err();
        assert_eq!(
            (failure.class, failure.message.as_str()),
            (FailureClass::Panic, "the engine panicked: index 7")
        );
        assert_eq!(guarded(&mut context, |_| Ok(3)).unwrap(), 3);
    }
}
