//! Workflow commands: lines of the log that GitHub's runner turns into annotations.
//!
//! Their grammar is that of `ActionCommand.cs` (actions/runner) and of `command.ts` (actions/toolkit): the data ends with
//! the line, properties are parted by commas, and what would end either is percent-encoded.

use crate::view::words::{Lines, visible};

/// Annotations of one level that GitHub shows of a step; further ones are dropped without a word (actions/toolkit,
/// `docs/problem-matchers.md`). A job shows fifty.
pub const MOST_OF_A_LEVEL: usize = 10;

/// Characters of a title; GitHub's own limit is 255.
const LONGEST_TITLE: usize = 240;

/// Characters of a message; GitHub's own limit is 64 KiB.
const LONGEST_MESSAGE: usize = 4000;

/// How bad it is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something is wrong.
    Error,
    /// Someone has to look.
    Warning,
    /// Good to know.
    Notice,
}

impl Level {
    const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Notice];

    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

/// A line of a file of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its path from the repository's root, with `/`.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// A remark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// How bad it is.
    pub level: Level,
    /// What it is about, in a few words. May hold any text.
    pub title: String,
    /// What there is to say, in one line or several. May hold any text.
    pub message: String,
    /// What it is about; absent where that is no line of a file.
    pub place: Option<Place>,
}

/// The lines for the log, the worst level first and otherwise in the order given. Of each level no more than GitHub shows:
/// where there are more, the last one says how many are left out.
#[must_use]
pub fn lines(annotations: &[Annotation]) -> Vec<String> {
    let of_level = |level| {
        let all: Vec<&Annotation> = annotations.iter().filter(|known| known.level == level).collect();
        let shown = match all.len() > MOST_OF_A_LEVEL {
            true => MOST_OF_A_LEVEL - 1,
            false => all.len(),
        };
        let rest: Vec<&Annotation> = all.iter().skip(shown).copied().collect();
        let mut lines: Vec<String> = all.into_iter().take(shown).map(line).collect();
        if !rest.is_empty() {
            lines.push(line(&left_out(level, &rest)));
        }
        lines
    };
    Level::ALL.into_iter().flat_map(of_level).collect()
}

fn left_out(level: Level, rest: &[&Annotation]) -> Annotation {
    let titles: Vec<&str> = rest.iter().map(|annotation| annotation.title.as_str()).collect();
    Annotation {
        level,
        title: format!("{} more of this kind", rest.len()),
        message: format!(
            "GitHub shows {MOST_OF_A_LEVEL} of a kind. The others are in the summary and in the report:\n{}",
            titles.join("\n")
        ),
        place: None,
    }
}

/// One command.
fn line(annotation: &Annotation) -> String {
    let title = shown(&annotation.title, Lines::Join, LONGEST_TITLE);
    // The order of the toolkit.
    let mut properties = vec![format!("title={}", property(&title))];
    if let Some(place) = &annotation.place {
        properties.push(format!("file={}", property(&shown(&place.file, Lines::Join, 1000))));
        properties.push(format!("line={0},endLine={0}", place.line));
    }
    let message = shown(&annotation.message, Lines::Keep, LONGEST_MESSAGE);
    format!(
        "::{} {}::{}",
        annotation.level.as_str(),
        properties.join(","),
        data(&message)
    )
}

/// Text with every character visible, and without the mark that other agents take for a command wherever it stands.
fn shown(text: &str, lines: Lines, longest: usize) -> String {
    let text = visible(text, lines, longest);
    text.replace("##[", "##\\[").replace("##vso[", "##vso\\[")
}

/// What stands after the second `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotation(title: &str, message: &str) -> Annotation {
        Annotation {
            level: Level::Error,
            title: title.into(),
            message: message.into(),
            place: Some(Place {
                file: "scenarios/a,b.toml".into(),
                line: 7,
            }),
        }
    }

    /// What the runner makes of a line, by its rules: command, properties, data.
    fn read(line: &str) -> (String, Vec<(String, String)>, String) {
        let rest = line.strip_prefix("::").unwrap();
        let (info, message) = rest.split_once("::").unwrap();
        let (name, properties) = info.split_once(' ').unwrap_or((info, ""));
        let undo = |text: &str| {
            let text = text.replace("%0D", "\r").replace("%0A", "\n");
            text.replace("%3A", ":").replace("%2C", ",").replace("%25", "%")
        };
        let pair = |text: &str| {
            let (key, value) = text.split_once('=').unwrap();
            (key.to_owned(), undo(value))
        };
        let properties = properties.split(',').map(pair).collect();
        let message = message.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%");
        (name.to_owned(), properties, message)
    }

    #[test]
    fn a_command_is_read_back_as_it_was_meant() {
        let lines = lines(&[annotation("a: 50 %, b", "first\nsecond: 100%0A")]);
        assert_eq!(
            lines,
            ["::error title=a%3A 50 %25%2C b,file=scenarios/a%2Cb.toml,line=7,endLine=7::first%0Asecond: 100%250A"]
        );
        let (name, properties, message) = read(&lines[0]);
        assert_eq!((name.as_str(), message.as_str()), ("error", "first\nsecond: 100%0A"));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let expected = [
            pair("title", "a: 50 %, b"),
            pair("file", "scenarios/a,b.toml"),
            pair("line", "7"),
            pair("endLine", "7"),
        ];
        assert_eq!(properties, expected);
    }

    #[test]
    fn the_last_one_says_how_many_are_left_out() {
        let all: Vec<Annotation> = (0..25)
            .map(|number| annotation(&format!("case {number}"), "x"))
            .collect();
        let ten = lines(&all[..10]);
        assert!(ten.len() == 10 && ten[9].contains("case 9"), "{ten:?}");
        let more = lines(&all);
        assert_eq!(more.len(), 10);
        assert!(
            more[8].contains("case 8") && more[9].contains("title=16 more of this kind::"),
            "{more:?}"
        );
        assert!(
            more[9].contains("case 9%0Acase 10") && more[9].ends_with("case 24"),
            "{more:?}"
        );
    }

    #[test]
    fn the_worst_comes_first() {
        let of = |level| Annotation {
            level,
            place: None,
            ..annotation("a", "b")
        };
        let lines = lines(&[of(Level::Notice), of(Level::Warning), of(Level::Error)]);
        assert_eq!(
            lines,
            ["::error title=a::b", "::warning title=a::b", "::notice title=a::b"]
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_ends_its_command(text in "(::|\\PC|[%:,=\r\n\t\u{1b}\u{202e}]|##\\[|stop-commands|set-output){0,20}") {
            let lines = lines(&[annotation(&text, &text)]);
            proptest::prop_assert_eq!(lines.len(), 1);
            let line = &lines[0];
            let acts = line.contains(['\r', '\n', '\u{1b}', '\u{202e}']) || line.contains("##[");
            proptest::prop_assert!(!acts, "{line:?}");
            let (name, properties, _) = read(line);
            proptest::prop_assert_eq!(name, "error");
            let keys: Vec<&str> = properties.iter().map(|(key, _)| key.as_str()).collect();
            proptest::prop_assert_eq!(keys, ["title", "file", "line", "endLine"]);
        }
    }
}
