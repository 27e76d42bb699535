//! Where the text of each generated token ends, told once all tokens are made: it is no part of their times.

use placebench_core::protocol::Generation;

use crate::tokenizer::Tokenizer;

/// Fills in the offsets of a generation and of its companions. They stay empty where the tokens do not give the text.
pub(crate) fn tell(generation: &mut Generation, tokenizer: Option<&Tokenizer>) {
    let Some(tokenizer) = tokenizer else { return };
    generation.text_offsets = offsets(tokenizer, &generation.output_ids, &generation.text).unwrap_or_default();
    for companion in &mut generation.companions {
        tell(companion, Some(tokenizer));
    }
}

fn offsets(tokenizer: &Tokenizer, ids: &[u32], text: &str) -> Option<Vec<u32>> {
    let mut stream = tokenizer.stream();
    let mut ends = Vec::with_capacity(ids.len());
    for id in ids {
        let so_far = stream.push(*id).ok()?;
        // A stop text is cut off: the tokens it is made of end where the text does.
        ends.push(u32::try_from(so_far.len().min(text.len())).ok()?);
    }
    // Of a character that never came whole the stream shows nothing, the text a replacement character.
    let whole = stream.text();
    (text.starts_with(whole) || whole.starts_with(text)).then_some(ends)
}
