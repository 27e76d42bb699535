//! The two sides of a comparison: what they are called, and what differs around their figures.

use placebench_core::compare::Fingerprint;
use placebench_core::record::{Attempt, Environment, Tool};
use serde::Serialize;

use crate::view::facts::tool_words;
use crate::view::words::{count, line, message};

/// A side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SideInput {
    /// `base`, `new` or `run`.
    pub side: &'static str,
    /// The run or the baseline.
    pub name: String,
    /// When it was begun, and by what.
    pub made: String,
    /// Where its own report is, as a page beside this one finds it; absent where that is not known.
    pub report: Option<String>,
}

impl SideInput {
    /// A side as it is named in a record.
    #[must_use]
    pub fn new(side: &'static str, name: &str, started_at: &str, tool: &Tool) -> Self {
        Self {
            side,
            name: name.to_owned(),
            made: format!("started {started_at} by {}", tool_words(tool)),
            report: None,
        }
    }

    pub(super) fn visible(&self) -> Self {
        Self {
            side: self.side,
            name: line(&self.name),
            made: message(&self.made),
            // A relative path of percent-escaped parts: see `link`.
            report: self.report.clone(),
        }
    }
}

/// A link to a file, given as the parts of its relative path: whatever is in a name stays in the name.
#[must_use]
pub fn link(parts: &[String]) -> String {
    let escape = |part: &String| -> String {
        let byte = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        };
        part.bytes().map(byte).collect()
    };
    let parts: Vec<String> = parts.iter().map(escape).collect();
    // A first part with a colon would be a scheme; all of them are escaped, so there is none.
    parts.join("/")
}

/// Something around the figures that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `program`, `kernel`, `cpu`, `versions` and so on.
    pub what: String,
    /// On the base's side; empty where it is not there.
    pub base: String,
    /// On the new side.
    pub new: String,
    /// Of how many cases; empty where of all.
    pub cases: String,
}

impl Difference {
    pub(super) fn visible(&self) -> Self {
        Self {
            what: line(&self.what),
            base: message(&self.base),
            new: message(&self.new),
            cases: line(&self.cases),
        }
    }
}

/// What a case was measured on and with.
#[derive(Debug, Clone, Copy)]
pub struct SideMachine<'a> {
    /// The program that made the run.
    pub tool: &'a Tool,
    /// The machine.
    pub environment: &'a Environment,
    /// The attempts that count.
    pub attempts: &'a [Attempt],
}

/// What is not the same, over all cases: each difference once, with how many cases it holds for.
#[must_use]
pub fn between(cases: &[(SideMachine<'_>, SideMachine<'_>)]) -> Vec<Difference> {
    let mut found: Vec<((String, String, String), usize)> = Vec::new();
    for (base, new) in cases {
        for difference in of_case(base, new) {
            match found.iter_mut().find(|(known, _)| *known == difference) {
                Some((_, number)) => *number += 1,
                None => found.push((difference, 1)),
            }
        }
    }
    let row = |((what, base, new), number): ((String, String, String), usize)| Difference {
        what,
        base,
        new,
        cases: match number == cases.len() {
            true => String::new(),
            false => format!("{number} of {}", count(cases.len(), "case", "cases")),
        },
    };
    found.into_iter().map(row).collect()
}

fn of_case(base: &SideMachine<'_>, new: &SideMachine<'_>) -> Vec<(String, String, String)> {
    let fingerprint = |side: &SideMachine<'_>| {
        let attempts: Vec<&Attempt> = side.attempts.iter().collect();
        Fingerprint::new(side.environment, &attempts)
    };
    let versions = |side: &SideMachine<'_>| {
        let mut versions: Vec<&str> = side
            .attempts
            .iter()
            .flat_map(|attempt| &attempt.versions)
            .map(String::as_str)
            .collect();
        versions.sort_unstable();
        versions.dedup();
        versions.join(", ")
    };
    let mut all = vec![
        ("program".to_owned(), tool_words(base.tool), tool_words(new.tool)),
        ("versions".to_owned(), versions(base), versions(new)),
    ];
    all.retain(|(_, base, new)| base != new);
    let machine = Fingerprint::differences(&fingerprint(base), &fingerprint(new)).into_iter();
    all.extend(machine.map(|difference| {
        let what = difference.field.as_str().replace('_', " ");
        (what, difference.base, difference.new)
    }));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(version: &str) -> Tool {
        Tool {
            name: "placebench".into(),
            version: version.into(),
            profile: "release".into(),
        }
    }

    #[test]
    fn what_differs_is_said_once_and_for_how_many_cases() {
        let (old, young) = (tool("1"), tool("2"));
        let here = Environment {
            cpu: "here".into(),
            ..Environment::default()
        };
        let there = Environment {
            cpu: "there".into(),
            ..Environment::default()
        };
        let side = |tool, environment| SideMachine {
            tool,
            environment,
            attempts: &[],
        };
        let found = between(&[
            (side(&old, &here), side(&young, &here)),
            (side(&old, &here), side(&young, &there)),
        ]);
        let told: Vec<(&str, &str, &str)> = found
            .iter()
            .map(|row| (row.what.as_str(), row.new.as_str(), row.cases.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("program", "placebench 2, release build", ""),
                ("cpu", "there", "1 of 2 cases")
            ]
        );
        assert_eq!(between(&[(side(&old, &here), side(&old, &here))]), []);
    }

    #[test]
    fn a_link_holds_no_scheme_and_no_markup() {
        let parts = ["..", "a b", "javascript:\"<x>", "report.html"].map(str::to_owned);
        assert_eq!(link(&parts), "../a%20b/javascript%3A%22%3Cx%3E/report.html");
    }
}
