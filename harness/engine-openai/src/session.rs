//! A server with a prompt: generations by streams.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use placebench_core::outcome::{FailureClass, Phase, WorkerFailure};
use placebench_core::protocol::{EventKind, Generation, GenerationSpec, MemoryFigure, PlannedPlacement, Prompt};
use placebench_engine::{Context, Session};

use crate::dialect::Identity;
use crate::http::{Answer, Client, Head};
use crate::order::{Order, Wishes};
use crate::sequence::{Arrival, Sequence, Wrong, broken};
use crate::sse;
use crate::started::StartedServer;
use crate::transport::{Message, What, carry};
use crate::words::{counted, quoted};

/// How long the end of a server that closed its connections may take to be seen.
const END: Duration = Duration::from_millis(500);

/// What has been opened.
pub(crate) struct ServerSession {
    pub(crate) client: Client,
    pub(crate) identity: Identity,
    pub(crate) model: String,
    /// One for each request that is under way at once.
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) generation: GenerationSpec,
    pub(crate) wishes: Wishes,
    pub(crate) notes: Vec<String>,
    /// Ended with the session, where this engine has started it.
    pub(crate) server: Option<StartedServer>,
}

impl Session for ServerSession {
    fn generate(&mut self, context: &mut Context) -> Result<Generation, WorkerFailure> {
        context.phase(Phase::Prefill);
        loop {
            context.begin_token(0);
            if let Some(made) = self.round(context)? {
                return Ok(made);
            }
        }
    }

    fn memory(&self) -> Vec<MemoryFigure> {
        Vec::new()
    }
}

impl ServerSession {
    /// Says what a person should know of the answers. A later list replaces an earlier one.
    pub(crate) fn tell_notes(&self, context: &mut Context) {
        context.emit(EventKind::Planned(PlannedPlacement {
            device_map: Vec::new(),
            budgets: Vec::new(),
            weights_bytes: Vec::new(),
            warnings: self.notes.clone(),
            forecast: None,
        }));
    }

    /// One request for each sequence. All are sent at once, and timed from then on. Nothing comes of it where the server
    /// refused part of what was asked for, and is to be asked for less.
    fn round(&mut self, context: &mut Context) -> Result<Option<Generation>, WorkerFailure> {
        let (start, start_s) = (Instant::now(), context.now_s());
        let news = self.send(context)?;
        let mut sequences: Vec<Sequence> = Vec::new();
        sequences.resize_with(self.prompts.len(), || Sequence::new(self.generation.max_new_tokens));
        let mut waited_for = 0;
        while !sequences.iter().all(Sequence::is_done) {
            // Each thread has a last word, and until then holds the channel open.
            let Ok(Message { sequence, at, what }) = news.recv() else {
                return Err(self.failure(context, broken("the server's answer got lost")));
            };
            let at_s = at.saturating_duration_since(start).as_secs_f64();
            let arrivals = match what {
                What::Data(data) => match sequences.get_mut(sequence) {
                    Some(under_way) => under_way
                        .take(&data, at_s)
                        .map_err(|wrong| self.failure(context, wrong))?,
                    None => Vec::new(),
                },
                What::NoStream(head, body) => {
                    let nothing_came = sequences.iter().all(|sequence| sequence.len() == 0);
                    if nothing_came && self.ask_less(&head, &body) {
                        return Ok(None);
                    }
                    return Err(self.failure(context, no_stream(head, body)));
                }
                What::Ended(unfinished) => {
                    let came = sequences.get(sequence).is_some_and(Sequence::is_done);
                    let is_end = unfinished.as_deref().is_some_and(|data| data.trim_ascii() == b"[DONE]");
                    match sequences.get_mut(sequence).filter(|_| is_end && !came) {
                        Some(under_way) => drop(under_way.take(b"[DONE]", at_s)),
                        None if came => {}
                        None => return Err(self.cut_off(context, sequences.get(sequence))),
                    }
                    Vec::new()
                }
                What::TooLong => {
                    let wrong = format!("the server sent an event of more than {} MiB", sse::MOST_BYTES >> 20);
                    return Err(self.failure(context, broken(wrong)));
                }
                // After `[DONE]` nothing more is of interest.
                What::Broken(_) if sequences.get(sequence).is_some_and(Sequence::is_done) => Vec::new(),
                What::Broken(why) => return Err(self.lost(context, &why)),
            };
            tell(context, sequence, &arrivals);
            let next = least(&sequences);
            if next > waited_for {
                if waited_for == 0 {
                    context.phase(Phase::Decode);
                }
                context.begin_token(u32::try_from(next).unwrap_or(u32::MAX));
                waited_for = next;
            }
        }
        self.finish(sequences, start_s, context).map(Some)
    }

    /// Sends the requests, each on a thread of its own.
    fn send(&self, context: &Context) -> Result<Receiver<Message>, WorkerFailure> {
        let (sender, news) = channel();
        for (sequence, prompt) in self.prompts.iter().enumerate() {
            let order = self.order(prompt);
            let url = self.client.api(order.path());
            let body = order.body(self.wishes).to_string();
            let (client, sender) = (self.client.clone(), sender.clone());
            // A thread whose answer does not come is not waited for: it ends with this process.
            std::thread::Builder::new()
                .name(format!("stream-{sequence}"))
                .spawn(move || carry(&client, &url, body.as_bytes(), sequence, &sender))
                .map_err(|error| {
                    let message = format!("no thread for a request: {error}");
                    context.failure(FailureClass::Internal, message)
                })?;
        }
        Ok(news)
    }

    fn order<'a>(&'a self, prompt: &'a Prompt) -> Order<'a> {
        Order {
            dialect: self.identity.dialect,
            model: &self.model,
            prompt,
            generation: &self.generation,
            salt: salt(),
        }
    }

    /// Whether there is something to do without.
    fn ask_less(&mut self, head: &Head, refusal: &[u8]) -> bool {
        let Some(prompt) = self.prompts.first() else {
            return false;
        };
        let less = self.order(prompt).less(self.wishes, head.status, refusal);
        let Some((wishes, note)) = less else { return false };
        self.wishes = wishes;
        self.note(format!("{note}; it said {}", quoted(refusal)));
        true
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn finish(
        &mut self,
        sequences: Vec<Sequence>,
        start_s: f64,
        context: &mut Context,
    ) -> Result<Generation, WorkerFailure> {
        let known = self.notes.len();
        let mut all = Vec::new();
        for (sequence, prompt) in sequences.into_iter().zip(self.prompts.clone()) {
            if let Some(fingerprint) = sequence
                .fingerprint()
                .filter(|print| !self.identity.name.contains(*print))
            {
                let print: String = fingerprint.chars().take(80).collect();
                self.note(format!(
                    "the server calls its configuration {} (system_fingerprint)",
                    quoted(print.as_bytes())
                ));
            }
            let ended = sequence.end(&self.generation, &prompt, start_s);
            let (made, notes) = ended.map_err(|wrong| self.failure(context, wrong))?;
            if self.wishes.logprobs && made.top2_gaps.is_empty() && !made.token_stamps_s.is_empty() {
                self.note(
                    "the server was asked for log-probabilities and told too few: gaps of tokens are not known"
                        .to_owned(),
                );
            }
            for note in notes {
                self.note(note);
            }
            all.push(made);
        }
        if self.notes.len() > known {
            self.tell_notes(context);
        }
        let mut all = all.into_iter();
        let Some(first) = all.next() else {
            return Err(self.failure(context, broken("there is no prompt to ask with")));
        };
        Ok(Generation {
            companions: all.collect(),
            ..first
        })
    }

    fn failure(&self, context: &Context, wrong: Wrong) -> WorkerFailure {
        context.failure(wrong.class, wrong.message)
    }

    /// The stream ended before the answer did.
    fn cut_off(&self, context: &Context, sequence: Option<&Sequence>) -> WorkerFailure {
        let came = counted(sequence.map_or(0, Sequence::len), "token");
        self.lost(
            context,
            &format!("the server ended its stream after {came} without saying that it is whole ([DONE])"),
        )
    }

    /// The connection is gone; perhaps because the server is.
    fn lost(&self, context: &Context, why: &str) -> WorkerFailure {
        let since = Instant::now();
        let ended = loop {
            let ended = self.server.as_ref().and_then(StartedServer::why_it_ended);
            if ended.is_some() || self.server.is_none() || since.elapsed() > END {
                break ended;
            }
            std::thread::sleep(END / 20);
        };
        let message = match ended {
            Some(ended) => format!("{why}: the server ended with {ended}"),
            None => why.to_owned(),
        };
        context.failure(FailureClass::Server, message)
    }
}

/// Announces what arrived.
fn tell(context: &mut Context, sequence: usize, arrivals: &[Arrival]) {
    let sequence = u32::try_from(sequence).unwrap_or(u32::MAX);
    for arrival in arrivals {
        context.token_told(sequence, arrival.index, arrival.id, arrival.top2_gap);
    }
}

/// Tokens of the sequence that is furthest behind, among those that are not done; else of the longest.
fn least(sequences: &[Sequence]) -> usize {
    let open = sequences.iter().filter(|sequence| !sequence.is_done());
    let longest = sequences.iter().map(Sequence::len).max().unwrap_or(0);
    open.map(Sequence::len).min().unwrap_or(longest)
}

/// What is wrong with an answer that is no stream.
fn no_stream(head: Head, body: Vec<u8>) -> Wrong {
    let (status, kind) = (head.status, head.content_type.clone());
    let answer = Answer { head, body };
    broken(match (status, kind.as_str()) {
        (200, "") => format!("the server answered with no stream, but with {}", quoted(&answer.body)),
        (200, kind) => format!(
            "the server answered with no stream, but with {}: {}",
            quoted(kind.as_bytes()),
            quoted(&answer.body)
        ),
        _ => format!("the server answered with {}", answer.words()),
    })
}

/// A number unlike that of any other request, so that a server that keeps prompts apart by it computes each anew.
fn salt() -> u64 {
    // The one source of random numbers that the standard library has: each state is seeded anew.
    RandomState::new().build_hasher().finish()
}
