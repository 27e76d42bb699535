//! The text of a snapshot file, in insta's format.

use placebench_core::judge::compare::NearTie;

use super::header::{self, SnapshotHeader, is_unseen};
use super::{SnapshotContent, SnapshotOrigin};

const TOKENS: &str = "token_ids: ";
const FINISH: &str = "finish_reason: ";
/// Entries of the header's `info`.
const NEAR_TIES: &str = "near_ties: ";
const TEXT_OFFSETS: &str = "text_offsets: ";
const BETWEEN_INFOS: &str = "; ";

pub(super) fn render(content: &SnapshotContent, origin: &SnapshotOrigin<'_>) -> String {
    format!(
        "---\n{}---\n{}\n\n{TOKENS}{:?}\n{FINISH}{}\n",
        header::render(origin, info(content).as_deref()),
        escape(&content.text),
        content.token_ids,
        content.finish_reason.as_str(),
    )
}

/// Reads a file back, from its end: a text may itself hold lines that look like ours.
pub(super) fn parse(file: &str) -> Result<(SnapshotHeader, SnapshotContent), &'static str> {
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
    let token_ids: Vec<u32> = serde_json::from_str(tokens).map_err(|_| "its token_ids are no list of numbers")?;
    let text = text.strip_suffix('\n').ok_or("it has no empty line after its text")?;
    let text = unescape(text).ok_or("its text holds a malformed \\u{…}")?;
    let header = header::parse(header);
    let info = header.info.as_deref().unwrap_or_default();
    let content = SnapshotContent {
        near_ties: near_ties(info)?,
        text_offsets: text_offsets(info, &text, token_ids.len()),
        text,
        token_ids,
        finish_reason,
    };
    Ok((header, content))
}

/// What the header's `info` holds: insta keeps that whatever it is, on one line where it is a string.
fn info(content: &SnapshotContent) -> Option<String> {
    let mut entries = Vec::new();
    if let Some(ties) = &content.near_ties {
        let ties: Vec<String> = ties
            .iter()
            .map(|tie| format!("[{}, {}, {:.4}]", tie.index, tie.id, tie.gap))
            .collect();
        entries.push(format!("{NEAR_TIES}[{}]", ties.join(", ")));
    }
    if !content.text_offsets.is_empty() {
        entries.push(format!("{TEXT_OFFSETS}{:?}", content.text_offsets));
    }
    (!entries.is_empty()).then(|| entries.join(BETWEEN_INFOS))
}

fn entry<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.split(BETWEEN_INFOS).find_map(|entry| entry.strip_prefix(name))
}

/// The near-ties of an `info`. A snapshot made by hand, or by an older version, has none.
fn near_ties(info: &str) -> Result<Option<Vec<NearTie>>, &'static str> {
    let Some(list) = entry(info, NEAR_TIES) else {
        return Ok(None);
    };
    let entries: Vec<(u32, u32, f32)> =
        serde_json::from_str(list).map_err(|_| "its near_ties are no list of [step, token, gap]")?;
    let tie = |(index, id, gap)| NearTie { index, id, gap };
    Ok(Some(entries.into_iter().map(tie).collect()))
}

/// Where the tokens' texts end. They only help to show a token; those that no longer fit a text that was edited are left out.
fn text_offsets(info: &str, text: &str, tokens: usize) -> Vec<u32> {
    let list = entry(info, TEXT_OFFSETS).unwrap_or("[]");
    let offsets: Vec<u32> = serde_json::from_str(list).unwrap_or_default();
    // Without tokens they are those of the pieces that a server told.
    let fits = (offsets.len() == tokens || tokens == 0)
        && offsets.is_sorted()
        && offsets
            .iter()
            .all(|&offset| usize::try_from(offset).is_ok_and(|offset| offset <= text.len()));
    if fits { offsets } else { Vec::new() }
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
