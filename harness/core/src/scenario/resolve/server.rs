//! The server that cases of the engine `openai` speak to.

use std::ops::Range;

use toml::Spanned;

use super::program::command;
use super::{Matrix, Origin};
use crate::record::{PORT, ServerAddress, ServerSpec, ServerStart};
use crate::scenario::OPENAI;
use crate::scenario::engine_tables::ServerTable;
use crate::scenario::file::{PlacementTable, ScenarioFile};
use crate::scenario::problem::Problem;
use crate::scenario::value::Named;
use crate::worker_variables::{is_name, is_own, is_secret};

/// Path that servers of this kind answer once they can generate.
const READY: &str = "/health";
const EXAMPLE: &str =
    "write for example command = [\"llama-server\", \"--model\", \"{model}\", \"--port\", \"{port}\"]";

/// The server of a placement, where the scenario has one.
pub(super) fn resolve_server(
    file: &ScenarioFile,
    placement: &PlacementTable,
    text: &str,
    origin: &Origin,
    problems: &mut Vec<Problem>,
) -> Option<ServerSpec> {
    let table = file.server.as_ref()?.get_ref();
    let own = placement.server.as_ref().map(Spanned::get_ref);
    let plain = |key: &Option<Spanned<String>>| key.as_ref().map(|value| value.get_ref().clone());
    let args = own.and_then(|own| own.args.as_ref());
    let start = table.command.as_ref().map(|words| ServerStart {
        command: command(words, EXAMPLE, origin, problems)
            .unwrap_or_default()
            .into_iter()
            .chain(added(args, problems))
            .collect(),
        folder: origin.folder.to_string_lossy().into_owned(),
        ready: plain(&table.ready).unwrap_or_else(|| READY.to_owned()),
        line: Problem::at(words.span(), "").position(text).map_or(1, |(line, _)| line),
        get: plain(&table.get),
    });
    if let (Some(args), None) = (args, &start) {
        problems.push(Problem::at(
            args.span(),
            "there is no command of [server] to add these to",
        ));
    }
    let url = own.and_then(|own| own.url.as_ref()).unwrap_or(&table.url);
    check_url(url, start.as_ref(), problems);
    Some(ServerSpec {
        url: url.get_ref().clone(),
        model: plain(&table.model),
        start,
        api_key_env: plain(&table.api_key_env),
    })
}

/// The arguments a placement adds to the command.
fn added(args: Option<&Spanned<Vec<Spanned<String>>>>, problems: &mut Vec<Problem>) -> Vec<String> {
    let words = args.into_iter().flat_map(Spanned::get_ref);
    let mut added = Vec::new();
    for word in words {
        if word.get_ref().contains('\0') {
            problems.push(Problem::at(word.span(), "no command can hold a NUL character"));
        }
        added.push(word.get_ref().clone());
    }
    added
}

fn check_url(url: &Spanned<String>, start: Option<&ServerStart>, problems: &mut Vec<Problem>) {
    let text = url.get_ref();
    let address = match ServerAddress::parse(&text.replace(PORT, "1")) {
        Ok(address) => address,
        Err(why) => {
            problems.push(
                Problem::at(url.span(), format!("the address {why}"))
                    .hint("write for example http://127.0.0.1:8000/v1"),
            );
            return;
        }
    };
    let Some(start) = start else {
        if text.contains(PORT) {
            problems.push(
                Problem::at(url.span(), "no port is chosen for a server that runs already")
                    .hint("write its port, or the command that starts it"),
            );
        }
        return;
    };
    if !address.is_loopback() {
        problems.push(
            Problem::at(url.span(), "a server that is started here is spoken to on this machine")
                .hint("write http://127.0.0.1:{port}/v1, or leave out the command"),
        );
    }
    let is_told = start.command.iter().any(|word| word.contains(PORT));
    if text.contains(PORT) && !is_told {
        problems.push(
            Problem::at(
                url.span(),
                "the port is chosen anew each time, and the command does not say it",
            )
            .hint("put {port} into the command too"),
        );
    } else if is_told && !text.contains(PORT) {
        problems.push(
            Problem::at(
                url.span(),
                "the command is told a port that is chosen anew each time, and the address has another",
            )
            .hint("put {port} into the address too"),
        );
    }
}

/// Whether the tables and keys of the engine `openai` fit the engines of the scenario, and the scenario fits the engine.
pub(super) fn check_server(file: &ScenarioFile, engine: &str, matrix: &Matrix, problems: &mut Vec<Problem>) {
    let all: Vec<&str> = match matrix.engine.as_slice() {
        [] => vec![engine],
        axis => axis.iter().map(String::as_str).collect(),
    };
    let is_used = all.contains(&OPENAI);
    let is_alone = all == [OPENAI];
    match (&file.server, is_used) {
        (None, true) => {
            let message = "engine `openai` needs a [server] that says which";
            let problem = match &file.engine {
                Some(engine) if engine.get_ref() == OPENAI => Problem::at(engine.span(), message),
                _ => Problem::general(message),
            };
            problems.push(problem.hint("add for example: [server] with url = \"http://127.0.0.1:8000/v1\""));
        }
        (Some(table), false) => problems.push(
            Problem::at(
                table.get_ref().url.span(),
                "[server] is used by no engine of this scenario",
            )
            .hint(format!("write engine = \"{OPENAI}\", or remove it")),
        ),
        (Some(table), true) => check_table(table.get_ref(), problems),
        (None, false) => {}
    }
    for (name, table) in file.placement.iter().flat_map(Named::iter) {
        check_placement(name, table, &all, problems);
        if is_alone {
            check_left_to_the_server(table, name.span(), problems);
        }
    }
    if is_alone {
        check_scenario(file, problems);
    }
}

fn check_table(table: &ServerTable, problems: &mut Vec<Problem>) {
    if table.command.is_none() {
        for (key, name) in [(&table.ready, "ready"), (&table.get, "get")] {
            if let Some(key) = key {
                let message = format!("{name} goes with command: a server that runs already is ready");
                problems.push(Problem::at(key.span(), message));
            }
        }
    }
    if let Some(ready) = &table.ready
        && (!ready.get_ref().starts_with('/') || ready.get_ref().chars().any(|c| c.is_control() || c.is_whitespace()))
    {
        problems.push(
            Problem::at(ready.span(), "ready is a path of the server, from its root").hint("write for example /health"),
        );
    }
    if let Some(model) = &table.model
        && model.get_ref().is_empty()
    {
        problems.push(Problem::at(model.span(), "the name of the model is empty"));
    }
    if let Some(key) = &table.api_key_env {
        let name = key.get_ref();
        if !is_name(name) || is_own(name) {
            problems.push(Problem::at(
                key.span(),
                format!("`{name}` is no environment variable that holds a key"),
            ));
        } else if !is_secret(name) {
            problems.push(
                Problem::at(
                    key.span(),
                    format!("the name `{name}` does not say that it holds a secret, so that it would not be kept out of records"),
                )
                .hint("name it with KEY, TOKEN or SECRET in it, as OPENAI_API_KEY"),
            );
        }
    }
}

/// Who places the model: this engine never does, and only of this engine it can be stated.
fn check_placement(name: &Spanned<String>, table: &PlacementTable, all: &[&str], problems: &mut Vec<Problem>) {
    let own = table.engines.iter().flatten().map(|engine| engine.get_ref().as_str());
    let own: Vec<&str> = own.filter(|engine| all.contains(engine)).collect();
    let engines = if table.engines.is_some() { own.as_slice() } else { all };
    let is_openai = engines.contains(&OPENAI);
    if is_openai && table.stated.is_none() {
        let problem = match (&table.device_map, &table.launch) {
            (Some(map), _) => Problem::at(
                map.span(),
                "engine `openai` cannot place modules: the server has done so by itself",
            ),
            (None, Some(launch)) => Problem::at(
                launch.span(),
                "engine `openai` starts no ranks: the server does so by itself",
            ),
            // That nothing is said at all is told already.
            (None, None) => return,
        };
        problems.push(problem.hint(if all == [OPENAI] {
            "write instead how the server places it: stated = \"tensor parallel over 2 GPUs\""
        } else {
            "say with engines = [\"candle\"] which engines this placement is for, and give this one a placement with stated = \"…\""
        }));
    }
    let others = engines.iter().find(|engine| **engine != OPENAI);
    if let (Some(stated), Some(other)) = (&table.stated, others) {
        problems.push(
            Problem::at(
                stated.span(),
                format!("engine `{other}` places the model as it is told: stated is for engine `openai`"),
            )
            .hint("write a device_map, or add engines = [\"openai\"] to the placement"),
        );
    }
    if let (Some(server), false) = (&table.server, is_openai) {
        problems.push(Problem::at(
            server.span(),
            format!("the placement `{}` is not for the engine `openai`", name.get_ref()),
        ));
    }
}

/// Keys of a placement that nobody could honour.
fn check_left_to_the_server(table: &PlacementTable, span: Range<usize>, problems: &mut Vec<Problem>) {
    let written = [
        ("max_memory", table.max_memory.is_some()),
        ("transfer", table.transfer.is_some()),
        ("offload", table.offload.is_some()),
        ("planner", table.planner.is_some()),
    ];
    for (key, _) in written.into_iter().filter(|(_, is_written)| *is_written) {
        problems.push(
            Problem::at(
                span.clone(),
                format!("engine `openai` cannot honour {key}: the server decides it"),
            )
            .hint("leave it out, and say it with the server's own arguments: server = { args = [\"…\"] }"),
        );
    }
    if let Some(batch) = &table.batch {
        problems.push(
            Problem::at(
                batch.span(),
                "a server batches as it likes: batch cannot be asked of it",
            )
            .hint("write in_flight: so many requests at once"),
        );
    }
}

/// Keys of a scenario that nobody could honour.
fn check_scenario(file: &ScenarioFile, problems: &mut Vec<Problem>) {
    if let Some(model) = &file.model
        && model.get_ref().dtype.is_some()
    {
        problems.push(
            Problem::at(
                model.span(),
                "engine `openai` cannot honour dtype: the server decides it",
            )
            .hint("leave it out, and say it with the server's own arguments"),
        );
    }
    for (name, _) in file.devices.iter().flat_map(Named::iter) {
        problems.push(Problem::at(
            name.span(),
            format!(
                "engine `openai` has no logical devices: `{}` is used by nobody",
                name.get_ref()
            ),
        ));
    }
    for fault in file.fault.iter().flatten() {
        problems.push(
            Problem::at(
                fault.span(),
                "engine `openai` cannot inject faults: nothing is computed in its worker",
            )
            .hint("break the server itself, or the way to it"),
        );
    }
}
