//! What a person answers: keys on a terminal, lines elsewhere.

use std::io::{self, BufRead, IsTerminal, Write};

use console::{Key, Term};

/// What becomes of the snapshot that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Accept,
    Reject,
    Skip,
    /// Show it otherwise.
    View,
    Quit,
    /// Anything else: say what can be answered.
    Help,
}

/// Where answers come from.
pub(crate) enum Answers {
    /// A terminal that can be read key by key.
    Keys(Term),
    /// Lines of standard input.
    Lines(Box<dyn BufRead>),
}

impl Answers {
    /// Keys where both ends are a terminal that is more than a teletype, else lines. `None` where standard input has ended
    /// before the first of them.
    pub(crate) fn open() -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        let term = Term::stdout();
        if stdin.is_terminal() {
            let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
            return Ok(Some(match term.is_term() && !is_dumb {
                true => Self::Keys(term),
                false => Self::Lines(Box::new(stdin.lock())),
            }));
        }
        let mut lines = stdin.lock();
        let is_empty = lines.fill_buf()?.is_empty();
        Ok((!is_empty).then(|| Self::Lines(Box::new(lines))))
    }

    /// The next answer; `None` when there are no more. Ctrl-C ends this process as it ends any other: what was decided is
    /// done, and what was not waits on.
    pub(crate) fn next(&mut self, question: &str) -> io::Result<Option<Answer>> {
        drop(write!(io::stdout(), "{question}"));
        drop(io::stdout().flush());
        match self {
            Self::Keys(term) => {
                let key = match term.read_key() {
                    Err(error) if is_end(&error) => None,
                    key => Some(key?),
                };
                // Raw keys are not echoed.
                let echo = match key {
                    Some(Key::Char(c)) if c.is_ascii_graphic() => c.to_string(),
                    _ => String::new(),
                };
                drop(writeln!(io::stdout(), "{echo}"));
                Ok(key.map(|key| match key {
                    Key::Char(c) => of_word(c.encode_utf8(&mut [0; 4])),
                    _ => Answer::Help,
                }))
            }
            Self::Lines(lines) => {
                let mut line = Vec::new();
                // Lines need not be text.
                if lines.read_until(b'\n', &mut line)? == 0 {
                    return Ok(None);
                }
                // A terminal shows the line break that was typed.
                if !io::stdin().is_terminal() {
                    drop(writeln!(io::stdout()));
                }
                Ok(Some(of_word(String::from_utf8_lossy(&line).trim())))
            }
        }
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::Interrupted)
}

fn of_word(word: &str) -> Answer {
    match word.to_lowercase().as_str() {
        "a" | "accept" => Answer::Accept,
        "r" | "reject" => Answer::Reject,
        "s" | "skip" => Answer::Skip,
        "d" | "diff" => Answer::View,
        "q" | "quit" => Answer::Quit,
        // An empty line is no decision.
        _ => Answer::Help,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_answer_decides() {
        let answers: &[u8] = b"a\r\nREJECT\n\n \nyes\n\xff\xfe\ns";
        let mut answers = Answers::Lines(Box::new(answers));
        let mut all = Vec::new();
        while let Some(answer) = answers.next("").unwrap() {
            all.push(answer);
        }
        use Answer::{Accept, Help, Reject, Skip};
        assert_eq!(all, [Accept, Reject, Help, Help, Help, Help, Skip]);
    }
}
