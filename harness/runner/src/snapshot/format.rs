//! The text of a snapshot file, in insta's format.

use placebench_core::judge::compare::NearTie;

use super::{SnapshotContent, SnapshotOrigin};

const TOKENS: &str = "token_ids: ";
const FINISH: &str = "finish_reason: ";
const INFO: &str = "info: ";
const NEAR_TIES: &str = "near_ties: ";

pub(super) fn render(content: &SnapshotContent, origin: &SnapshotOrigin<'_>) -> String {
    format!(
        "---\nsource: {}\ndescription: {}\nexpression: {}\n{}---\n{}\n\n{TOKENS}{:?}\n{FINISH}{}\n",
        yaml_string(origin.source),
        yaml_string(&format!("model {}", origin.model)),
        yaml_string(origin.case),
        content.near_ties.as_deref().map(info).unwrap_or_default(),
        escape(&content.text),
        content.token_ids,
        content.finish_reason.as_str(),
    )
}

/// Reads a file back, from its end: a text may itself hold lines that look like ours.
pub(super) fn parse(file: &str) -> Result<SnapshotContent, &'static str> {
    // A checkout on another system may have changed the line ends; a text's own are escaped.
    let file = file.replace("\r\n", "\n");
    let (header, body) = file
        .strip_prefix("---\n")
        .and_then(|rest| rest.split_once("\n---\n"))
        .ok_or("it does not begin with a header between two `---`")?;
    let (rest, finish) = body
        .trim_end_matches('\n')
        .rsplit_once('\n')
        .ok_or("it has no finish_reason in its last line")?;
    let finish = finish
        .strip_prefix(FINISH)
        .ok_or("it has no finish_reason in its last line")?;
    let finish_reason =
        serde_json::from_value(finish.into()).map_err(|_| "its finish_reason is none of eos, length, stop")?;
    let (text, tokens) = rest
        .rsplit_once('\n')
        .ok_or("it has no token_ids before its last line")?;
    let tokens = tokens
        .strip_prefix(TOKENS)
        .ok_or("it has no token_ids before its last line")?;
    let token_ids = serde_json::from_str(tokens).map_err(|_| "its token_ids are no list of numbers")?;
    let text = text.strip_suffix('\n').ok_or("it has no empty line after its text")?;
    Ok(SnapshotContent {
        text: unescape(text).ok_or("its text holds a malformed \\u{…}")?,
        token_ids,
        finish_reason,
        near_ties: near_ties(header)?,
    })
}

/// The line of the header that holds the near-ties: insta keeps its `info` whatever it is, on one line where it is a string.
fn info(ties: &[NearTie]) -> String {
    let entries: Vec<String> = ties
        .iter()
        .map(|tie| format!("[{}, {}, {:.4}]", tie.index, tie.id, tie.gap))
        .collect();
    format!(
        "{INFO}{}\n",
        yaml_string(&format!("{NEAR_TIES}[{}]", entries.join(", ")))
    )
}

/// The near-ties of a header. A snapshot made by hand, or by an older version, has none.
fn near_ties(header: &str) -> Result<Option<Vec<NearTie>>, &'static str> {
    let info = header.lines().find_map(|line| line.strip_prefix(INFO));
    let list = info.and_then(|info| info.trim().trim_matches(['"', '\'']).strip_prefix(NEAR_TIES));
    let Some(list) = list else { return Ok(None) };
    let entries: Vec<(u32, u32, f32)> =
        serde_json::from_str(list).map_err(|_| "its near_ties are no list of [step, token, gap]")?;
    let tie = |(index, id, gap)| NearTie { index, id, gap };
    Ok(Some(entries.into_iter().map(tie).collect()))
}

/// Characters that act on a terminal or on the reading direction instead of being seen.
pub(super) fn is_unseen(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        // A backslash is only in the way where it would begin an escape.
        if is_unseen(c) || (c == '\\' && rest.as_str().starts_with("u{")) {
            escaped.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn unescape(escaped: &str) -> Option<String> {
    let mut parts = escaped.split("\\u{");
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_once('}')?;
        text.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        text.push_str(rest);
    }
    Some(text)
}

/// A double-quoted YAML string on one line.
fn yaml_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() || is_unseen(c) => quoted.push_str(&match u32::from(c) {
                code @ ..=0xffff => format!("\\u{code:04x}"),
                code => format!("\\U{code:08x}"),
            }),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
