//! Generations in order: each begun once, its tokens one after the other, and ended with all of them.

use placebench_core::protocol::Generation;

use super::current::Current;
use super::{Transcript, figures};
use crate::breach::Breach;

impl Transcript {
    pub(super) fn start(&mut self, generation: u32, warmup: bool, t_s: f64) -> Result<(), Breach> {
        let asked = self.warmups_asked.saturating_add(self.measured_asked);
        let expected = match &self.current {
            Some(current) => format!("the end of generation {}", current.number),
            None if self.next_generation >= asked => format!("`done` after {asked} generations"),
            None if generation == self.next_generation => {
                self.next_generation += 1;
                self.current = Some(Current {
                    number: generation,
                    warmup,
                    start_s: t_s,
                    tokens: Vec::new(),
                    companion_tokens: vec![Vec::new(); self.companions],
                });
                return Ok(());
            }
            None => format!("generation {}", self.next_generation),
        };
        Err(Breach::Order {
            event: "started",
            got: generation,
            expected,
        })
    }

    pub(super) fn token(&mut self, generation: u32, index: u32, id: Option<u32>, t_s: f64) -> Result<(), Breach> {
        let current = Self::running(self.current.as_mut(), "token", generation)?;
        Self::check_asked(self.tokens_asked, generation, index)?;
        if usize::try_from(index) != Ok(current.tokens.len()) {
            return Err(Breach::TokenOrder {
                generation,
                got: index,
                expected: current.tokens.len(),
            });
        }
        current.tokens.push((t_s - current.start_s, id));
        Ok(())
    }

    /// What is kept of a companion in the end is its whole generation, which must be what was streamed.
    pub(super) fn companion_token(
        &mut self,
        generation: u32,
        companion: u32,
        index: u32,
        id: Option<u32>,
    ) -> Result<(), Breach> {
        let asked = 1 + self.companions;
        let current = Self::running(self.current.as_mut(), "token", generation)?;
        Self::check_asked(self.tokens_asked, generation, index)?;
        let known = usize::try_from(companion)
            .ok()
            .and_then(|companion| current.companion_tokens.get_mut(companion));
        let Some(made) = known else {
            return Err(Breach::NoSequence {
                generation,
                sequence: companion.saturating_add(1),
                asked,
            });
        };
        if usize::try_from(index) != Ok(made.len()) {
            return Err(Breach::TokenOrder {
                generation,
                got: index,
                expected: made.len(),
            });
        }
        made.push(id);
        Ok(())
    }

    fn check_asked(asked: u32, generation: u32, index: u32) -> Result<(), Breach> {
        if index < asked {
            return Ok(());
        }
        Err(Breach::TokensAsked {
            generation,
            got: u64::from(index) + 1,
            asked,
        })
    }

    pub(super) fn finish(&mut self, generation: u32, warmup: bool, result: &Generation) -> Result<(), Breach> {
        let current = Self::running(self.current.as_mut(), "finished", generation)?;
        if current.warmup != warmup {
            return Err(Breach::WarmupChanged {
                generation,
                started: current.warmup,
                finished: warmup,
            });
        }
        for sequence in std::iter::once(result).chain(&result.companions) {
            figures::check_sequence(generation, sequence, self.tokens_asked)?;
        }
        if result.companions.len() != self.companions {
            return Err(Breach::Companions {
                generation,
                got: result.companions.len(),
                expected: self.companions,
            });
        }
        current.is_what_was_streamed(result)?;
        self.current = None;
        if warmup {
            self.warmups += 1;
        } else {
            self.generations.push(result.clone());
        }
        Ok(())
    }

    pub(super) fn running<'a>(
        current: Option<&'a mut Current>,
        event: &'static str,
        generation: u32,
    ) -> Result<&'a mut Current, Breach> {
        match current {
            Some(current) if current.number == generation => Ok(current),
            other => Err(Breach::Order {
                event,
                got: generation,
                expected: other.map_or_else(
                    || "no running generation".to_owned(),
                    |current| format!("generation {}", current.number),
                ),
            }),
        }
    }
}
