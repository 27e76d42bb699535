//! The single rules of a scenario, each reporting where it is broken.

use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use toml::Spanned;

use super::MOST_REPETITIONS;
use super::file::{ExpectTable, GenerationTable, LogicalDeviceTable, MeasureTable, ModelTable};
use super::problem::{Problem, suggestion};
use super::resolve::Origin;
use super::value::{DevicesUsed, Named, Size};
use crate::device::{DeviceId, DeviceKind, LogicalDevice};
use crate::judge::CHECKS;
use crate::outcome::OutcomeKind;
use crate::protocol::Message;
use crate::units::Bytes;

/// Engines a scenario may name.
pub(super) const ENGINES: [&str; 6] = [
    "candle",
    "candle-reference",
    "mock",
    super::TRANSFORMERS,
    super::OPENAI,
    super::PROGRAM,
];

/// Cases of one scenario: prompts, placements and axes multiply, and a run lists all of them before it begins.
const MOST_CASES: usize = 10_000;

/// Whether a scenario of that many prompts, placements and points of its matrix can be listed.
pub(super) fn case_count(factors: [usize; 3], problems: &mut Vec<Problem>) {
    let cases = factors.into_iter().fold(1, usize::saturating_mul);
    if cases > MOST_CASES {
        problems.push(
            Problem::general(format!(
                "the scenario makes {cases} cases (prompts × placements × matrix), at most {MOST_CASES} are run"
            ))
            .hint("split it into several files"),
        );
    }
}

pub(super) fn version(version: Option<&Spanned<u32>>, supported: u32, problems: &mut Vec<Problem>) {
    match version {
        None => problems.push(
            Problem::general("the file has no schema_version")
                .hint(format!("write schema_version = {supported} at its top")),
        ),
        Some(version) if *version.get_ref() != supported => problems.push(Problem::at(
            version.span(),
            format!(
                "this placebench reads schema_version {supported}, not {}",
                version.get_ref()
            ),
        )),
        Some(_) => {}
    }
}

/// Names become parts of case names and of file names.
pub(super) fn name(name: &Spanned<String>, what: &str, problems: &mut Vec<Problem>) {
    let text = name.get_ref();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 80 || !text.chars().all(plain) || text.starts_with('.') {
        problems.push(
            Problem::at(name.span(), format!("`{text}` is no name for a {what}"))
                .hint("use up to 80 letters, digits, `-`, `_` and `.`, not starting with a dot"),
        );
    }
}

pub(super) fn engine(engine: &Spanned<String>, problems: &mut Vec<Problem>) {
    let name = engine.get_ref().as_str();
    if !ENGINES.contains(&name) {
        problems
            .push(Problem::at(engine.span(), format!("there is no engine `{name}`")).hint(suggestion(name, &ENGINES)));
    }
}

/// Makes the path of a model or a program absolute. A relative one must not leave the suite's folder: a suite is read by
/// people who did not write it. Models are large and often kept elsewhere, so that a link is followed and an absolute path
/// is taken.
pub(super) fn inside_suite(path: &Spanned<String>, origin: &Origin, problems: &mut Vec<Problem>) -> Option<PathBuf> {
    let written = Path::new(path.get_ref());
    if written.is_absolute() {
        return Some(written.to_path_buf());
    }
    relative_inside_suite(path, origin, ", or write an absolute path", problems)
}

/// The same for a text file, which goes into prompts, reports and messages: it is part of the suite, so that no path is
/// absolute. Whether it is a link that leads out is seen where it is read.
pub(super) fn text_inside_suite(
    path: &Spanned<String>,
    origin: &Origin,
    problems: &mut Vec<Problem>,
) -> Option<PathBuf> {
    if Path::new(path.get_ref()).is_absolute() {
        problems.push(
            Problem::at(path.span(), format!("`{}` is an absolute path", path.get_ref()))
                .hint("put the file into the suite's folder, and write its path relative to this file"),
        );
        return None;
    }
    relative_inside_suite(path, origin, "", problems)
}

fn relative_inside_suite(
    path: &Spanned<String>,
    origin: &Origin,
    way_out: &str,
    problems: &mut Vec<Problem>,
) -> Option<PathBuf> {
    if path.get_ref().is_empty() {
        problems.push(Problem::at(path.span(), "the path is empty"));
        return None;
    }
    let absolute = without_dots(&origin.folder.join(path.get_ref()));
    if absolute.starts_with(&origin.suite) {
        return Some(absolute);
    }
    problems.push(
        Problem::at(
            path.span(),
            format!(
                "`{}` leaves the suite's folder {}",
                path.get_ref(),
                origin.suite.display()
            ),
        )
        .hint(format!(
            "keep what a suite needs inside it (defaults.toml marks its folder){way_out}"
        )),
    );
    None
}

/// Resolves `.` and `..` by name alone.
fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

pub(super) fn hub_names(model: &ModelTable, problems: &mut Vec<Problem>) {
    let part_is_plain = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    if let Some(repo) = &model.repo {
        let parts: Vec<&str> = repo.get_ref().split('/').collect();
        if parts.len() != 2 || !parts.iter().all(|part| part_is_plain(part)) {
            problems.push(Problem::at(
                repo.span(),
                format!("`{}` is no repository: write owner/name", repo.get_ref()),
            ));
        }
    }
    for key in [&model.file, &model.revision].into_iter().flatten() {
        if !key.get_ref().split('/').all(part_is_plain) {
            problems.push(Problem::at(
                key.span(),
                format!("`{}` is no file or revision of a repository", key.get_ref()),
            ));
        }
    }
    if model.fetch.is_some()
        && let Some(repo) = &model.repo
    {
        problems.push(Problem::at(
            repo.span(),
            "fetch goes with path; a repository is fetched by itself",
        ));
    }
}

pub(super) fn logical_device(
    name: &Spanned<String>,
    table: &LogicalDeviceTable,
    problems: &mut Vec<Problem>,
) -> Option<DeviceId> {
    let id = match DeviceId::new(name.get_ref()) {
        Ok(id) if id.kind() == DeviceKind::Logical => Some(id),
        Ok(id) => {
            problems.push(
                Problem::at(name.span(), format!("`{id}` is the name of a physical device"))
                    .hint("give the slice a name of its own, such as \"half:0\" or \"sim:0\""),
            );
            None
        }
        Err(error) => {
            problems.push(Problem::at(name.span(), error.to_string()));
            None
        }
    };
    let on = &table.on.get_ref().0;
    if matches!(on.kind(), DeviceKind::Logical | DeviceKind::Disk) {
        problems.push(
            Problem::at(table.on.span(), format!("`{on}` is no physical device")).hint("use cpu, cuda:N or metal:N"),
        );
    }
    if let Some(memory) = &table.memory
        && memory.get_ref().0 == Bytes(0)
    {
        problems.push(
            Problem::at(
                memory.span(),
                format!(
                    "`{}` has a budget of zero: nothing could ever be put on it",
                    name.get_ref()
                ),
            )
            .hint("give it some memory, or remove the device"),
        );
    }
    id
}

/// Physical devices are checked where they are: in the worker. Logical ones must be declared.
pub(super) fn device_exists(
    device: &DeviceId,
    span: &Range<usize>,
    devices: &[LogicalDevice],
    problems: &mut Vec<Problem>,
) {
    if device.kind() == DeviceKind::Logical && !devices.iter().any(|known| known.id == *device) {
        let known: Vec<&str> = devices.iter().map(|device| device.id.as_str()).chain(["cpu"]).collect();
        problems.push(
            Problem::at(
                span.clone(),
                format!("there is no device `{device}`: it is not declared in [devices]"),
            )
            .hint(suggestion(device.as_str(), &known)),
        );
    }
}

pub(super) fn max_memory(
    budgets: &Spanned<Named<Size>>,
    devices: &[LogicalDevice],
    problems: &mut Vec<Problem>,
) -> Vec<(DeviceId, Bytes)> {
    let mut resolved: Vec<(DeviceId, Bytes)> = Vec::new();
    for (name, size) in budgets.get_ref().iter() {
        match DeviceId::new(name.get_ref()) {
            Ok(device) => {
                device_exists(&device, &name.span(), devices, problems);
                if resolved.iter().any(|(other, _)| *other == device) {
                    problems.push(Problem::at(name.span(), format!("`{device}` has two budgets")));
                }
                resolved.push((device, size.0));
            }
            Err(error) => problems.push(Problem::at(name.span(), error.to_string())),
        }
    }
    if resolved.iter().all(|(_, bytes)| *bytes == Bytes(0)) {
        problems.push(
            Problem::at(
                budgets.span(),
                "every budget of max_memory is zero: nothing could be placed",
            )
            .hint("give at least one device some memory"),
        );
    }
    resolved
}

pub(super) fn messages(messages: &Spanned<Vec<Message>>, problems: &mut Vec<Problem>) {
    if messages.get_ref().is_empty() {
        problems.push(Problem::at(messages.span(), "messages is empty"));
    }
    for message in messages.get_ref() {
        if !["system", "user", "assistant"].contains(&message.role.as_str()) {
            problems.push(
                Problem::at(messages.span(), format!("`{}` is no role of a message", message.role))
                    .hint(suggestion(&message.role, &["system", "user", "assistant"])),
            );
        }
    }
}

pub(super) fn generation(table: &GenerationTable, problems: &mut Vec<Problem>) {
    if let Some(tokens) = &table.max_new_tokens
        && *tokens.get_ref() == 0
    {
        problems.push(Problem::at(tokens.span(), "max_new_tokens must be at least 1"));
    }
    if table.do_sample == Some(false) || table.do_sample.is_none() {
        let spans = [
            table.temperature.as_ref().map(Spanned::span),
            table.top_k.as_ref().map(Spanned::span),
            table.top_p.as_ref().map(Spanned::span),
            table.seed.as_ref().map(Spanned::span),
        ];
        for span in spans.into_iter().flatten() {
            problems.push(Problem::at(span, "this has no effect without do_sample = true"));
        }
    }
    if let Some(temperature) = &table.temperature
        && !(*temperature.get_ref() > 0.0 && temperature.get_ref().is_finite())
    {
        problems.push(
            Problem::at(temperature.span(), "temperature must be above 0").hint("leave do_sample out for greedy text"),
        );
    }
    if let Some(top_p) = &table.top_p
        && !(*top_p.get_ref() > 0.0 && *top_p.get_ref() <= 1.0)
    {
        problems.push(Problem::at(top_p.span(), "top_p must be above 0 and at most 1"));
    }
    if let Some(top_k) = &table.top_k
        && *top_k.get_ref() == 0
    {
        problems.push(Problem::at(top_k.span(), "top_k must be at least 1"));
    }
}

pub(super) fn measure(table: &MeasureTable, problems: &mut Vec<Problem>) {
    if let Some(repetitions) = &table.repetitions
        && *repetitions.get_ref() == 0
    {
        problems.push(Problem::at(repetitions.span(), "repetitions must be at least 1"));
    }
    if let Some(repetitions) = &table.repetitions
        && *repetitions.get_ref() > MOST_REPETITIONS
    {
        problems.push(Problem::at(
            repetitions.span(),
            format!("repetitions is at most {MOST_REPETITIONS}"),
        ));
    }
}

pub(super) fn expectation(table: &ExpectTable, placements: &[&str], problems: &mut Vec<Problem>) {
    if let Some(agreement) = &table.agreement {
        placement_exists(&agreement.reference, placements, problems);
        if let Some(gap) = &agreement.max_gap
            && !(*gap.get_ref() >= 0.0 && gap.get_ref().is_finite())
        {
            problems.push(Problem::at(gap.span(), "max_gap must be a number of at least 0"));
        }
    }
    if let Some(DevicesUsed::ByPlacement(map)) = &table.min_devices_used {
        for (name, _) in map.iter() {
            placement_exists(name, placements, problems);
        }
    }
    for device in table.forbid_devices.iter().flatten() {
        let kind = ["cpu", "disk", "cuda", "metal"].contains(&device.get_ref().as_str());
        if !kind && DeviceId::new(device.get_ref()).is_err() {
            problems.push(Problem::at(
                device.span(),
                format!("`{}` is no device or kind of device", device.get_ref()),
            ));
        }
    }
    for check in table.fails.iter().flatten() {
        if !CHECKS.contains(&check.get_ref().as_str()) {
            problems.push(
                Problem::at(check.span(), format!("there is no check `{}`", check.get_ref()))
                    .hint(suggestion(check.get_ref(), &CHECKS)),
            );
        }
    }
    if let Some(killed) = &table.killed
        && table.outcome == Some(OutcomeKind::Completed)
    {
        problems.push(Problem::at(
            killed.span(),
            "a worker that completes ends by itself: killed goes with an outcome such as stalled or timeout",
        ));
    }
    if table.outcome == Some(OutcomeKind::Completed)
        && let (Some(_), None) | (_, Some(_)) = (table.phase, &table.at)
    {
        problems.push(Problem::general(
            "expect: phase and at go with an outcome other than completed",
        ));
    }
}

pub(super) fn placement_exists(name: &Spanned<String>, placements: &[&str], problems: &mut Vec<Problem>) {
    if !placements.contains(&name.get_ref().as_str()) {
        problems.push(
            Problem::at(name.span(), format!("there is no placement `{}`", name.get_ref()))
                .hint(suggestion(name.get_ref(), placements)),
        );
    }
}
