//! The commands that run a case again, as a shell reads them.
//!
//! Nothing is shortened or replaced here, for a command must do what it says: what cannot be written visibly as it is, is
//! written as an escape that the filter language or the shell resolves.

use std::fmt::Write as _;

use placebench_core::outcome::OutcomeKind;
use placebench_core::placement::DeviceMapRequest;
use placebench_core::record::{CaseSpec, CaseStatus, CaseVerdict, RunInfo, SettingSource, TextVerdict};
use placebench_core::scenario::TRANSFORMERS;
use placebench_core::selection::{Field, MatcherKind, NameMatcher, Predicate};
use placebench_core::worker_variables::{is_name, is_secret, is_tuning};
use serde::Serialize;

use super::words::hides_or_reorders;

/// Longest command that is shown: a name may be of any length, and a page must not be.
const LONGEST: usize = 4000;

/// How to do it again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReproduceView {
    /// Each with what it does; the first one runs the case again. Empty where no command can.
    pub commands: Vec<CommandView>,
    /// What else it depends on, in words.
    pub notes: Vec<String>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandView {
    /// What it does.
    pub does: &'static str,
    /// The line for a shell.
    pub line: String,
}

/// The commands for a case of a run.
pub(super) fn view(info: &RunInfo, spec: &CaseSpec, verdict: Option<&CaseVerdict>) -> ReproduceView {
    // Cases of a bisection are made up as it goes; no filter selects them from a suite.
    if info.arguments.first().is_some_and(|command| command == "bisect") {
        return ReproduceView::default();
    }
    let tool = info.tool.name.as_str();
    let filter = escaped(
        &Predicate {
            field: Field::Name,
            matcher: match NameMatcher::new(MatcherKind::Equal, &spec.case) {
                Ok(matcher) => matcher,
                Err(_) => return ReproduceView::default(),
            },
        }
        .to_string(),
    );
    let file = path(&spec.file);
    let environment = environment(info, spec);
    let flags = flags(info, spec);
    let of_case = ["-E".to_owned(), filter];
    let again = command(tool, &environment, "run", &[&file], &of_case, &flags);
    let mut commands = vec![CommandView {
        does: "run it again",
        line: again,
    }];
    let mut add = |does, line: String| commands.push(CommandView { does, line });
    let trusted: Vec<String> = flags.iter().filter(|flag| *flag == ALLOW_EXEC).cloned().collect();
    match verdict.map(|verdict| advice(spec, verdict)) {
        Some(Advice::Devices) => {
            add(
                "find the smallest change of placement that mends it",
                command(tool, &environment, "bisect", &[&spec.case, &file], &trusted, &[]),
            );
        }
        Some(Advice::Values) if spec.audit.is_none() => {
            let audit = ["--audit".to_owned()];
            let audit = [&of_case[..], &audit[..]].concat();
            add(
                "name the first module or hop whose values part",
                command(tool, &environment, "run", &[&file], &audit, &trusted),
            );
            add(
                "find the smallest change of placement that mends it",
                command(tool, &environment, "bisect", &[&spec.case, &file], &trusted, &[]),
            );
        }
        Some(Advice::Plan) => {
            add(
                "plan it without running it",
                command(tool, &environment, "plan", &[&file], &of_case, &[]),
            );
        }
        Some(Advice::Values | Advice::Nothing) | None => {}
    }
    commands.retain(|command| command.line.chars().count() <= LONGEST);
    ReproduceView {
        commands,
        notes: notes(info, spec),
    }
}

/// What is worth trying.
enum Advice {
    Nothing,
    /// Another placement may pass.
    Devices,
    /// Values differ somewhere on the way.
    Values,
    /// The plan tells what does not fit.
    Plan,
}

fn advice(spec: &CaseSpec, verdict: &CaseVerdict) -> Advice {
    let is_wrong = !verdict.findings.is_empty() || !verdict.expected_findings.is_empty();
    let is_spread = !matches!(spec.request.device_map, DeviceMapRequest::Single(_));
    match verdict.outcome {
        _ if matches!(verdict.status, CaseStatus::Skipped | CaseStatus::Setup) => Advice::Nothing,
        OutcomeKind::OutOfMemory => Advice::Plan,
        OutcomeKind::Stalled | OutcomeKind::Timeout | OutcomeKind::Crashed if is_spread => Advice::Devices,
        OutcomeKind::Completed | OutcomeKind::Failed
            if is_spread && matches!(verdict.text, TextVerdict::Diverged | TextVerdict::Garbage) && is_wrong =>
        {
            Advice::Values
        }
        _ => Advice::Nothing,
    }
}

const ALLOW_EXEC: &str = "--allow-exec";

/// Variables that say which Python runs the stack of Hugging Face.
const FIND_PYTHON: [&str; 2] = ["PLACEBENCH_PYTHON", "PLACEBENCH_PYTHON_ENVS"];

/// The flags of the run that a case depends on.
fn flags(info: &RunInfo, spec: &CaseSpec) -> Vec<String> {
    let mut flags = Vec::new();
    let mut say = |flag: &str, value: String| flags.extend([flag.to_owned(), value]);
    if let Some(file) = argument(info, "--config-file") {
        say("--config-file", file);
    }
    if let Some(profile) = info.control.profile.as_ref().filter(|profile| *profile != "default") {
        say("--profile", profile.clone());
    }
    // What a profile says comes with the profile; what a flag or a variable said wins over it.
    let said = |name: &str| {
        let by_person = |source: &SettingSource| matches!(source, SettingSource::Flag | SettingSource::Environment(_));
        let setting = info.control.settings.iter().find(|setting| setting.setting == name);
        setting
            .filter(|setting| by_person(&setting.source))
            .map(|setting| setting.value.clone())
    };
    let is_audit = spec.audit.is_some();
    for (setting, flag) in [
        ("repetitions", "--repetitions"),
        ("rates", "--rates"),
        ("timeout_multiplier", "--timeout-multiplier"),
    ] {
        if let Some(value) = said(setting).filter(|_| !(is_audit && setting == "repetitions")) {
            say(flag, value);
        }
    }
    let seed_is_told = info.control.settings.iter().any(|setting| setting.setting == "seed");
    if said("seed").is_some() || (!seed_is_told && info.seed != 0) {
        say("--seed", info.seed.to_string());
    }
    if let Some(audit) = spec.audit {
        flags.push("--audit".into());
        flags.extend(
            audit
                .max_tokens
                .into_iter()
                .flat_map(|most| ["--audit-tokens".into(), most.to_string()]),
        );
    }
    if info.arguments.iter().any(|argument| argument == ALLOW_EXEC) {
        flags.push(ALLOW_EXEC.into());
    }
    flags
}

/// The value of a flag on the command line of the run.
fn argument(info: &RunInfo, flag: &str) -> Option<String> {
    let mut arguments = info.arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == flag {
            return arguments.next().cloned();
        }
        let value = argument.strip_prefix(flag).and_then(|rest| rest.strip_prefix('='));
        if let Some(value) = value {
            return Some(value.to_owned());
        }
    }
    None
}

/// Variables of the workers that change what is computed, where and how fast. Others say where files are and who runs it.
///
/// Where an engine is a Python of this machine, the variable that finds it belongs to them.
fn environment(info: &RunInfo, spec: &CaseSpec) -> Vec<(String, String)> {
    let computes = |name: &str| {
        let languages = ["LANG", "LC_", "TZ", "RUST_"];
        is_tuning(name) && !languages.iter().any(|start| name.starts_with(start))
    };
    let finds = |name: &str| spec.engine == TRANSFORMERS && FIND_PYTHON.contains(&name);
    let kept = info.environment.worker_env.iter();
    kept.filter(|(name, _)| (computes(name) || finds(name)) && is_name(name) && !is_secret(name))
        .cloned()
        .collect()
}

fn notes(info: &RunInfo, spec: &CaseSpec) -> Vec<String> {
    let mut notes = Vec::new();
    let tool = &info.tool;
    notes.push(format!(
        "Recorded with {} {}, a {} build; run it in the folder that {} is named from.",
        super::words::line(&tool.name),
        super::words::line(&tool.version),
        super::words::line(&tool.profile),
        super::words::line(&spec.file)
    ));
    if spec
        .expect
        .agreement
        .as_ref()
        .is_some_and(|agreement| agreement.reference != spec.placement)
    {
        notes.push("The placement its text must agree with is run along with it.".into());
    }
    if let Some(environment) = spec.transformers.as_ref().and_then(|stack| stack.environment.as_ref()) {
        let environment = super::words::line(environment);
        notes.push(format!(
            "Its Python is the environment {environment}: `bash ci/python-env.sh {environment}` makes it, and PLACEBENCH_PYTHON_ENVS names \
             another folder of environments."
        ));
    }
    if let Some(variable) = spec.server.as_ref().and_then(|server| server.api_key_env.as_ref()) {
        notes.push(format!(
            "The server's key is read from the variable {}, which is not recorded.",
            super::words::line(variable)
        ));
    }
    notes
}

/// A path that cannot be taken for a flag.
fn path(file: &str) -> String {
    if file.starts_with('-') {
        format!("./{file}")
    } else {
        file.to_owned()
    }
}

fn command(
    tool: &str,
    environment: &[(String, String)],
    name: &str,
    operands: &[&str],
    flags: &[String],
    more: &[String],
) -> String {
    let mut line: Vec<String> = environment
        .iter()
        .map(|(name, value)| format!("{name}={}", quoted(value)))
        .collect();
    line.extend([quoted(tool), name.to_owned()]);
    let has_dashes = operands.iter().any(|operand| operand.starts_with('-'));
    line.extend(flags.iter().chain(more).map(|word| quoted(word)));
    if has_dashes {
        line.push("--".into());
    }
    line.extend(operands.iter().map(|operand| quoted(operand)));
    line.join(" ")
}

/// A filter with every character visible: the language has escapes for those that hide or reorder.
fn escaped(filter: &str) -> String {
    let mut escaped = String::with_capacity(filter.len());
    for c in filter.chars() {
        if is_hidden(c) {
            // Nothing is lost where it cannot be written: a String takes everything.
            let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn is_hidden(c: char) -> bool {
    c.is_control() || hides_or_reorders(c)
}

/// A word as a POSIX shell reads it back; one with characters that hide or reorder as Bash, Zsh and newer POSIX shells do.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    if !word.chars().any(is_hidden) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let mut quoted = String::from("$'");
    for c in word.chars() {
        match c {
            '\'' | '\\' => quoted.extend(['\\', c]),
            c if is_hidden(c) => {
                // By its bytes: what a number of a character becomes depends on the locale.
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(quoted, "\\{byte:03o}");
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_quoted_where_they_must_be() {
        assert_eq!(quoted("scenarios/a.toml"), "scenarios/a.toml");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted("a\u{202e}'\\\n"), r"$'a\342\200\256\'\\\012'");
    }

    /// What a shell makes of `$'…'` and `'…'`, for what is written here.
    fn read_back(quoted: &str) -> Vec<u8> {
        let Some(inner) = quoted.strip_prefix("$'").and_then(|rest| rest.strip_suffix('\'')) else {
            return match quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
                Some(inner) => inner.replace(r"'\''", "'").into_bytes(),
                None => quoted.as_bytes().to_vec(),
            };
        };
        let mut bytes = Vec::new();
        let mut rest = inner.bytes();
        while let Some(byte) = rest.next() {
            match (byte, byte == b'\\') {
                (_, true) => match rest.next().unwrap() {
                    digit @ b'0'..=b'7' => {
                        let octal = [digit, rest.next().unwrap(), rest.next().unwrap()];
                        bytes.push(u8::from_str_radix(std::str::from_utf8(&octal).unwrap(), 8).unwrap());
                    }
                    other => bytes.push(other),
                },
                (byte, false) => bytes.push(byte),
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn a_word_survives_its_quotes_and_hides_nothing(word in "(\\PC|[\u{1}-\u{1f}\u{202e}\u{200b}'\\\\$`\" ]){0,20}") {
            let quoted = quoted(&word);
            prop_assert_eq!(read_back(&quoted), word.as_bytes());
            prop_assert!(!quoted.chars().any(is_hidden));
        }

        #[test]
        fn a_filter_means_the_same_with_everything_visible(name in "(\\PC|[\u{1}-\u{1f}\u{202e}\u{200b}'\\\\(),]){1,20}") {
            let predicate = Predicate {
                field: Field::Name,
                matcher: NameMatcher::new(MatcherKind::Equal, &name).unwrap(),
            };
            let filter = escaped(&predicate.to_string());
            prop_assert!(!filter.chars().any(is_hidden));
            let read = placebench_core::selection::parse(&filter).unwrap();
            prop_assert_eq!(read, placebench_core::selection::Filterset::Predicate(predicate));
        }
    }
}
