//! From text to a filter, by recursive descent.
//!
//! ```text
//! any      := narrowed ( ( "or" | "|" | "+" ) narrowed )*
//! narrowed := not ( ( "and" | "&" | "-" ) not )*
//! not      := ( "not" | "!" ) not | "(" any ")" | "all()" | "none()" | field "(" matcher ")"
//! matcher  := "=" text | "~" text | "#" text | "/" regex "/" | text
//! ```
//! The language is that of nextest's filtersets, with the fields of a case in place of those of a test.

use super::filterset::{Field, Filterset, Narrowing, Predicate};
use super::matcher::{MatcherKind, NameMatcher};
use crate::scenario::problem::{Problem, suggestion};

/// Brackets and negations within one another; more would only be there to exhaust the stack.
const MOST_NESTED: u32 = 100;

/// Reads a filter.
///
/// # Errors
/// The first thing that is wrong, with its place in the text.
pub fn parse(text: &str) -> Result<Filterset, Problem> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let filterset = parser.any()?;
    parser.skip_blanks();
    match parser.rest().chars().next() {
        None => Ok(filterset),
        Some(')') => Err(Problem::at(parser.at..parser.at + 1, "this bracket closes nothing")),
        Some(_) => Err(Problem::at(
            parser.word_span(),
            "expected `and`, `or`, `-` or the end of the filter",
        )),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Takes a symbol.
    fn take(&mut self, symbol: char) -> bool {
        self.skip_blanks();
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len_utf8();
        }
        found
    }

    /// Takes a word that ends here.
    fn take_word(&mut self, word: &str) -> bool {
        self.skip_blanks();
        let after = self.rest().strip_prefix(word);
        let ends = |after: &str| !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let found = after.is_some_and(ends);
        if found {
            self.at += word.len();
        }
        found
    }

    /// The word here, or the one character that is none.
    fn word_span(&self) -> std::ops::Range<usize> {
        let rest = self.rest();
        let word = rest
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')))
            .unwrap_or(rest.len());
        let one = rest.chars().next().map_or(0, char::len_utf8);
        self.at..self.at + word.max(one)
    }

    fn any(&mut self) -> Result<Filterset, Problem> {
        let first = self.narrowed()?;
        let mut operands = vec![first];
        loop {
            self.refuse_doubled('|', "or")?;
            if !(self.take('|') || self.take('+') || self.take_word("or")) {
                break;
            }
            operands.push(self.narrowed()?);
        }
        Ok(match operands.pop() {
            Some(only) if operands.is_empty() => only,
            last => {
                operands.extend(last);
                Filterset::Any(operands)
            }
        })
    }

    fn narrowed(&mut self) -> Result<Filterset, Problem> {
        let first = self.not()?;
        let mut rest = Vec::new();
        loop {
            self.refuse_doubled('&', "and")?;
            let how = if self.take('&') || self.take_word("and") {
                Narrowing::And
            } else if self.take('-') {
                Narrowing::Except
            } else {
                break;
            };
            rest.push((how, self.not()?));
        }
        Ok(if rest.is_empty() {
            first
        } else {
            Filterset::Narrowed(Box::new(first), rest)
        })
    }

    /// `&&` and `||` are no operators here, and the second half would be told apart from the first badly.
    fn refuse_doubled(&mut self, symbol: char, word: &str) -> Result<(), Problem> {
        self.skip_blanks();
        let mut chars = self.rest().chars();
        if chars.next() == Some(symbol) && chars.next() == Some(symbol) {
            return Err(
                Problem::at(self.at..self.at + 2, format!("`{symbol}{symbol}` is no operator"))
                    .hint(format!("write `{symbol}` or `{word}`")),
            );
        }
        Ok(())
    }

    fn not(&mut self) -> Result<Filterset, Problem> {
        self.skip_blanks();
        let start = self.at;
        self.depth += 1;
        if self.depth > MOST_NESTED {
            return Err(Problem::at(start..start + 1, "the filter is nested too deeply"));
        }
        let filterset = if self.take('!') || self.take_word("not") {
            Filterset::Not(Box::new(self.not()?))
        } else if self.take('(') {
            let inner = self.any()?;
            if !self.take(')') {
                return Err(self.unclosed(start));
            }
            inner
        } else {
            self.call()?
        };
        self.depth -= 1;
        Ok(filterset)
    }

    /// A bracket was expected to close here. What stands here instead is to blame where there is something.
    fn unclosed(&self, start: usize) -> Problem {
        if self.rest().is_empty() {
            Problem::at(start..start + 1, "this bracket is never closed")
        } else {
            Problem::at(self.word_span(), "expected `and`, `or`, `-` or a closing bracket")
        }
    }

    /// `field(matcher)`, `all()`, `none()`.
    fn call(&mut self) -> Result<Filterset, Problem> {
        let span = self.word_span();
        let name = &self.text[span.clone()];
        let is_word = name.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if !is_word {
            let found = match self.rest().chars().next() {
                Some(c) => format!("`{}`", c.escape_debug()),
                None => "the end".to_owned(),
            };
            // At the end there is nothing to underline but the end itself.
            let place = if span.is_empty() {
                self.text.trim_end().len()..self.text.trim_end().len()
            } else {
                span
            };
            return Err(Problem::at(place, format!("expected a condition, found {found}"))
                .hint("for example: tag(smoke) and not placement(auto)"));
        }
        self.at = span.end;
        self.skip_blanks();
        if matches!(name, "and" | "or" | "not") {
            return Err(Problem::at(span, format!("expected a condition, found `{name}`")));
        }
        if !self.rest().starts_with('(') {
            return Err(Problem::at(span, format!("`{name}` stands alone"))
                .hint(format!("for cases with this in their name write: name({name})")));
        }
        let open = self.at;
        self.at += 1;
        if matches!(name, "all" | "none") {
            if !self.take(')') {
                return Err(Problem::at(open..open + 1, format!("`{name}()` takes nothing")));
            }
            return Ok(if name == "all" { Filterset::All } else { Filterset::None });
        }
        let Some(field) = Field::from_name(name) else {
            let known: Vec<&str> = Field::ALL
                .iter()
                .map(|field| field.as_str())
                .chain(["all", "none"])
                .collect();
            return Err(Problem::at(span, format!("there is no predicate `{name}`")).hint(suggestion(name, &known)));
        };
        let matcher = self.matcher(field, open)?;
        Ok(Filterset::Predicate(Predicate { field, matcher }))
    }

    /// From behind the opening bracket to behind the closing one.
    fn matcher(&mut self, field: Field, open: usize) -> Result<NameMatcher, Problem> {
        self.skip_blanks();
        let start = self.at;
        if self.take('/') {
            let body = self.regex_body(start)?;
            if !self.take(')') {
                return Err(self.unclosed(open));
            }
            return NameMatcher::new(MatcherKind::Regex, body)
                .map_err(|why| Problem::at(start + 1..start + 1 + body.len(), why));
        }
        let kind = if self.take('=') {
            MatcherKind::Equal
        } else if self.take('~') {
            MatcherKind::Contains
        } else if self.take('#') {
            MatcherKind::Glob
        } else {
            field.default_kind()
        };
        let (text, end) = self.plain_text(kind, open)?;
        if text.is_empty() {
            return Err(
                Problem::at(open..self.at, format!("`{}()` says nothing", field.as_str()))
                    .hint("write all() for every case, or name what it must be"),
            );
        }
        NameMatcher::new(kind, &text).map_err(|why| Problem::at(start..end, why))
    }

    fn regex_body(&mut self, start: usize) -> Result<&'a str, Problem> {
        let from = self.at;
        let mut escaped = false;
        for (offset, c) in self.rest().char_indices() {
            match c {
                '/' if !escaped => {
                    self.at = from + offset + 1;
                    return Ok(&self.text[from..from + offset]);
                }
                '\\' => escaped = !escaped,
                _ => escaped = false,
            }
        }
        Err(Problem::at(start..start + 1, "this regular expression is never closed")
            .hint("a slash inside is written `\\/`"))
    }

    /// A text up to the closing bracket, which is taken too, with escapes resolved and without blanks around it; and
    /// where it ends.
    fn plain_text(&mut self, kind: MatcherKind, open: usize) -> Result<(String, usize), Problem> {
        self.skip_blanks();
        let mut text = String::new();
        // Blanks that were written as escapes stay.
        let mut kept = 0;
        let mut braces = 0_u32;
        while let Some(c) = self.rest().chars().next() {
            let at = self.at;
            self.at += c.len_utf8();
            match c {
                ')' => {
                    text.truncate(kept.max(text.trim_end().len()));
                    return Ok((text, at));
                }
                '(' => {
                    return Err(Problem::at(at..at + 1, "a bracket inside of a text").hint("write `\\(` and `\\)`"));
                }
                ',' if !(kind == MatcherKind::Glob && braces > 0) => {
                    return Err(Problem::at(at..at + 1, "a comma inside of a text")
                        .hint("write `\\,`, or join two conditions with `or`"));
                }
                '\\' => {
                    text.push(self.escape(at)?);
                    kept = text.len();
                }
                c => {
                    match c {
                        '{' => braces += 1,
                        '}' => braces = braces.saturating_sub(1),
                        _ => {}
                    }
                    text.push(c);
                }
            }
        }
        Err(Problem::at(open..open + 1, "this bracket is never closed"))
    }

    /// What follows a backslash.
    fn escape(&mut self, start: usize) -> Result<char, Problem> {
        let c = self.rest().chars().next();
        self.at += c.map_or(0, char::len_utf8);
        match c {
            Some(c @ ('\\' | '(' | ')' | ',' | '/')) => Ok(c),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('u') => {
                let digits = self.rest().strip_prefix('{').and_then(|rest| rest.split_once('}'));
                let found = digits.and_then(|(digits, _)| {
                    // `from_str_radix` would take a sign.
                    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                    let code = u32::from_str_radix(digits, 16).ok().filter(|_| plain)?;
                    Some((char::from_u32(code)?, digits.len() + 2))
                });
                let (found, length) = found.ok_or_else(|| {
                    Problem::at(start..self.at, "no such character").hint("write its number as in `\\u{20}`")
                })?;
                self.at += length;
                Ok(found)
            }
            _ => Err(Problem::at(start..self.at, "there is no such escape")
                .hint("a backslash is written `\\\\`; others are \\( \\) \\, \\/ \\n \\r \\t \\u{…}")),
        }
    }
}
