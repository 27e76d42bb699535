//! The server that cases of the engine `openai` speak to.

use toml::Spanned;

use super::Origin;
use crate::record::{ServerSpec, ServerStart};
use crate::scenario::file::{PlacementTable, ScenarioFile};
use crate::scenario::problem::Problem;

/// Path that servers of this kind answer once they can generate.
const READY: &str = "/health";

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
    let words = |key: &Spanned<Vec<Spanned<String>>>| -> Vec<String> {
        key.get_ref().iter().map(|word| word.get_ref().clone()).collect()
    };
    let args = own.and_then(|own| own.args.as_ref());
    let start = table.command.as_ref().map(|command| ServerStart {
        command: words(command)
            .into_iter()
            .chain(args.map(words).unwrap_or_default())
            .collect(),
        folder: origin.folder.to_string_lossy().into_owned(),
        ready: plain(&table.ready).unwrap_or_else(|| READY.to_owned()),
        line: Problem::at(command.span(), "")
            .position(text)
            .map_or(1, |(line, _)| line),
    });
    if let (Some(args), None) = (args, &start) {
        problems.push(Problem::at(
            args.span(),
            "there is no command of [server] to add these to",
        ));
    }
    let url = own.and_then(|own| own.url.as_ref()).unwrap_or(&table.url);
    Some(ServerSpec {
        url: url.get_ref().clone(),
        model: plain(&table.model),
        start,
        api_key_env: plain(&table.api_key_env),
    })
}
