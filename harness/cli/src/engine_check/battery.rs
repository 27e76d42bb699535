//! All checks, one after the other.

use std::collections::BTreeSet;

use super::answer::{Answer, Stop};
use super::catalogue::{CHECKS, FIRST};
use super::check::Check;
use super::lab::Lab;
use crate::error::CliError;

/// A check with its answer.
pub(crate) struct Checked {
    pub(crate) check: &'static Check,
    pub(crate) answer: Answer,
}

/// The checks of these names with those they rest on; all of them for no name.
///
/// # Errors
/// The first name that no check has.
pub(crate) fn selected(names: &[String]) -> Result<Vec<&'static Check>, String> {
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = Vec::new();
    for name in names {
        match CHECKS.iter().find(|check| check.name == name) {
            Some(check) => open.push(check.name),
            None => return Err(name.clone()),
        }
    }
    while let Some(name) = open.pop() {
        if wanted.insert(name) {
            open.extend(FIRST);
            let check = CHECKS.iter().find(|check| check.name == name);
            open.extend(check.into_iter().flat_map(|check| check.after));
        }
    }
    let is_wanted = |check: &&'static Check| names.is_empty() || wanted.contains(check.name);
    Ok(CHECKS.into_iter().filter(is_wanted).collect())
}

/// Makes the checks, and tells of each as it is over.
///
/// A check is not tried where one that it rests on has failed, or was itself not tried. Where that one was not applicable, it
/// finds out itself what that means for it.
///
/// # Errors
/// When the engine cannot be started, or nothing can be asked.
pub(crate) fn run(
    checks: &[&'static Check],
    lab: &mut Lab,
    tell: &mut dyn FnMut(&Checked),
) -> Result<Vec<Checked>, CliError> {
    let mut done: Vec<Checked> = Vec::new();
    for &check in checks {
        lab.asking = check.name;
        let answer = match in_the_way(check, &done) {
            Some(answer) => answer,
            None => match (check.ask)(lab) {
                Ok(answer) | Err(Stop::Answer(answer)) => answer,
                Err(Stop::Error(error)) => return Err(error),
            },
        };
        let checked = Checked { check, answer };
        tell(&checked);
        done.push(checked);
    }
    Ok(done)
}

/// The answer of a check that cannot be made for what came before.
fn in_the_way(check: &Check, done: &[Checked]) -> Option<Answer> {
    let first = FIRST.iter().take_while(|first| **first != check.name);
    let needed = || first.clone().chain(check.after);
    done.iter()
        .filter(|before| needed().any(|name| *name == before.check.name))
        .find_map(|before| match &before.answer {
            Answer::Passed { .. } | Answer::NotApplicable { .. } => None,
            Answer::Failed { .. } => Some(Answer::NotTried {
                after: before.check.name,
            }),
            Answer::NotTried { after } => Some(Answer::NotTried { after }),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(checks: &[&'static Check]) -> Vec<&'static str> {
        checks.iter().map(|check| check.name).collect()
    }

    #[test]
    fn a_check_brings_what_it_rests_on() {
        let only = |name: &str| names(&selected(&[name.to_owned()]).unwrap());
        assert_eq!(only("clock"), ["stdout", "hello", "run", "clock"]);
        assert_eq!(
            only("longest_key"),
            ["stdout", "hello", "run", "single", "split", "longest_key"]
        );
        assert_eq!(selected(&[]).unwrap().len(), CHECKS.len());
        assert_eq!(selected(&["cloc".to_owned()]).err().as_deref(), Some("cloc"));
    }

    #[test]
    fn nothing_is_asked_of_what_failed_already() {
        let checked = |name: &str, answer: Answer| Checked {
            check: CHECKS.iter().find(|check| check.name == name).unwrap(),
            answer,
        };
        let check = |name: &str| *CHECKS.iter().find(|check| check.name == name).unwrap();
        let done = [
            checked("stdout", Answer::passed()),
            checked("hello", Answer::passed()),
            checked("run", Answer::passed()),
            checked("clock", Answer::failed("late")),
            checked("split", Answer::not_applicable("one device")),
        ];
        assert_eq!(in_the_way(check("result"), &done), None);
        assert_eq!(in_the_way(check("same_tokens"), &done), None);
        let broken = [checked("stdout", Answer::failed("chatter"))];
        assert_eq!(
            in_the_way(check("hello"), &broken),
            Some(Answer::NotTried { after: "stdout" })
        );
        assert_eq!(in_the_way(check("stdout"), &broken), None);
    }
}
