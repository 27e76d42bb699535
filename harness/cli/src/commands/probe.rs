//! `placebench probe` (hidden): the other end of `doctor`'s questions.

use std::io::{Read, Write};

use placebench_core::doctor::probe::{PROBE_VERSION, ProbeEvent, ProbeRequest, ProbeTask};
use placebench_core::exit_code::ExitCode;
use placebench_engine::worker::prepare_process;

use crate::doctor::driver;
use crate::terminal;

/// Answers the request on standard input. The exit code is read by `doctor` alone.
pub(crate) fn run() -> ExitCode {
    let mut sink = match prepare_process() {
        Ok(sink) => sink,
        Err(error) => return complain(&error.to_string()),
    };
    let mut text = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut text) {
        return complain(&error.to_string());
    }
    let request: ProbeRequest = match serde_json::from_str(&text) {
        Ok(request) => request,
        Err(error) => return complain(&format!("the request cannot be read: {error}")),
    };
    let mut say = |event: ProbeEvent| tell(&mut sink, &event);
    match answer(&request, &mut say) {
        Ok(()) => say(ProbeEvent::Done),
        Err(message) => say(ProbeEvent::Failed { message }),
    }
    ExitCode::Passed
}

fn answer(request: &ProbeRequest, say: &mut dyn FnMut(ProbeEvent)) -> Result<(), String> {
    if request.version != PROBE_VERSION {
        return Err(format!(
            "doctor speaks version {}, this probe {PROBE_VERSION}: was the program replaced?",
            request.version
        ));
    }
    if request.task == ProbeTask::Inventory {
        say(ProbeEvent::Step {
            what: "asking the NVIDIA driver".to_owned(),
        });
        say(ProbeEvent::Driver {
            driver: driver::facts(),
        });
    }
    on_engine(request, say)
}

#[cfg(feature = "candle")]
fn on_engine(request: &ProbeRequest, say: &mut dyn FnMut(ProbeEvent)) -> Result<(), String> {
    placebench_engine_candle::probe::run(request, say).map_err(|error| error.to_string())
}

/// Builds without candle know no GPUs and can measure nothing.
#[cfg(not(feature = "candle"))]
fn on_engine(request: &ProbeRequest, say: &mut dyn FnMut(ProbeEvent)) -> Result<(), String> {
    if request.task == ProbeTask::Inventory {
        say(ProbeEvent::Gpus { gpus: Vec::new() });
        return Ok(());
    }
    Err("this build has no engine to measure with (feature `candle`)".to_owned())
}

/// A doctor that has gone takes this process with it; until then there is nobody to tell.
fn tell(sink: &mut impl Write, event: &ProbeEvent) {
    if let Ok(mut line) = serde_json::to_vec(event) {
        line.push(b'\n');
        drop(sink.write_all(&line).and_then(|()| sink.flush()));
    }
}

fn complain(message: &str) -> ExitCode {
    terminal::err(&format!("placebench probe: {message}"));
    ExitCode::Usage
}
