//! The generation that is under way, and whether what is reported in the end is what was streamed.

use placebench_core::protocol::Generation;

use crate::breach::Breach;

/// A generation that is under way.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) number: u32,
    pub(super) warmup: bool,
    pub(super) start_s: f64,
    /// Each with its stamp; the token itself where the engine knows it.
    pub(super) tokens: Vec<(f64, Option<u32>)>,
    /// The tokens of the companions, the first of them at 0.
    pub(super) companion_tokens: Vec<Vec<Option<u32>>>,
}

impl Current {
    /// Speeds follow from the streamed tokens and texts from the reported ones: they must be the same tokens.
    pub(super) fn is_what_was_streamed(&self, result: &Generation) -> Result<(), Breach> {
        let generation = self.number;
        let own: Vec<Option<u32>> = self.tokens.iter().map(|(_, id)| *id).collect();
        let streamed = std::iter::once(&own).chain(&self.companion_tokens);
        let finished = std::iter::once(result).chain(&result.companions);
        for (sequence, (streamed, finished)) in streamed.zip(finished).enumerate() {
            // Of an engine that is told texts only, the stamps are what was made; so of one that learns in the end that it was
            // not told of every token, and takes back those it was told.
            let finished_len = match finished.output_ids.as_slice() {
                [] => finished.token_stamps_s.len(),
                ids => ids.len(),
            };
            let mut pairs = streamed.iter().zip(&finished.output_ids).enumerate();
            if let Some((index, (Some(streamed), &finished))) =
                pairs.find(|(_, (streamed, finished))| streamed.is_some_and(|streamed| streamed != **finished))
            {
                return Err(Breach::StreamedToken {
                    generation,
                    sequence,
                    index,
                    streamed: *streamed,
                    finished,
                });
            }
            if streamed.len() != finished_len {
                return Err(Breach::StreamLength {
                    generation,
                    sequence,
                    streamed: streamed.len(),
                    finished: finished_len,
                });
            }
        }
        Ok(())
    }
}
