//! Every gap between two tokens, in the order of the tokens: over all generations of a case, and of the one that was cut off.

use placebench_core::outcome::Outcome;
use placebench_core::protocol::Generation;
use placebench_core::record::Attempt;
use placebench_core::statistics::{median, outliers};
use placebench_core::units::human_seconds;

use super::latencies::Source;
use super::timing::{Timing, plausible};
use super::words::{Lines, count, line, visible};

/// How many times the median gap a gap that is far out must reach to be named: less is no pause to a reader.
const FEWEST_TIMES: f64 = 2.0;

/// From how many times the median on a gap is named however few gaps there are to compare it with.
const SURELY: f64 = 10.0;

/// Characters of a token's text.
const LONGEST_TOKEN: usize = 24;

/// The gap before one token, over all generations.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenGap {
    /// Position of the token among those generated, from 1; the first token has no gap before it.
    pub token: usize,
    /// Generations in which it was measured.
    pub n: usize,
    /// The shortest, in seconds.
    pub least_s: f64,
    /// The median, in seconds.
    pub median_s: f64,
    /// The longest, in seconds.
    pub most_s: f64,
    /// The longest that is no [`Pause`]; the shortest where all are.
    pub usual_s: f64,
}

/// A gap that stands apart: beyond Tukey's outer fence and at least twice the median, or at least ten times the median.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pause {
    /// Position of the token it came before, from 1.
    pub token: usize,
    /// How long it was.
    pub seconds: f64,
    /// How many times the median gap of the case that is.
    pub times: f64,
}

impl Pause {
    /// `token 17: 480 ms, 40 × the median`.
    #[must_use]
    pub fn words(&self) -> String {
        format!(
            "token {}: {}, {} × the median",
            self.token,
            human_seconds(self.seconds),
            times(self.times)
        )
    }
}

/// `2.6`, `40`.
fn times(ratio: f64) -> String {
    let decimals = usize::from(ratio < 9.95);
    format!("{ratio:.decimals$}")
}

/// A generation that was never finished: the tokens that came, and what came then.
#[derive(Debug, Clone, PartialEq)]
pub struct Halt {
    /// Positions of tokens, from 1, with the gaps before them in seconds.
    pub gaps: Vec<(usize, f64)>,
    /// Tokens that came.
    pub tokens: usize,
    /// What came then: `no token for 1.55 s`.
    pub words: String,
    /// It was a warm-up.
    pub in_warm_up: bool,
}

/// Gaps of a case.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Each generation's gaps with the positions of their tokens.
    pub generations: Vec<Vec<(usize, f64)>>,
    /// Gap by gap over the generations.
    pub tokens: Vec<TokenGap>,
    /// Texts of the tokens, where the generations agree on them, from the first.
    pub texts: Vec<String>,
    /// The median of all gaps; absent where no generation was finished.
    pub median_s: Option<f64>,
    /// Gaps that stand apart, the longest first.
    pub pauses: Vec<Pause>,
    /// Why generations ended: `ended by length`; empty where none did.
    pub ended: String,
    /// Warm-up generations of each worker, which are not among these.
    pub warm_ups: u32,
    /// The generation that was cut off.
    pub halt: Option<Halt>,
    /// Tokens came several at a time, so that gaps are those between arrivals; `token` then counts arrivals.
    pub in_pieces: bool,
}

/// What may be drawn of a case's gaps.
#[derive(Debug, Clone, PartialEq)]
pub enum Gaps {
    /// What was measured.
    Measured(Box<Series>),
    /// The text was wrong, so that no gap is a speed: the reason.
    Invalid(String),
    /// There is none: the reason.
    Missing(String),
}

impl Gaps {
    /// The gaps, if there are any to show.
    #[must_use]
    pub fn series(&self) -> Option<&Series> {
        match self {
            Self::Measured(series) => Some(series),
            Self::Invalid(_) | Self::Missing(_) => None,
        }
    }
}

pub(super) fn view(source: &Source<'_>) -> Gaps {
    let Source {
        spec,
        timed,
        attempt,
        timing,
        is_timed,
        why,
        ..
    } = *source;
    if let Timing::Invalid(why) = timing {
        return Gaps::Invalid(why.clone());
    }
    if !is_timed {
        return Gaps::Missing(why.to_owned());
    }
    let finished: Vec<&Generation> = timed.iter().flat_map(|attempt| &attempt.generations).collect();
    let generations: Vec<Vec<(usize, f64)>> = finished
        .iter()
        .map(|generation| gaps(&generation.token_stamps_s))
        .collect();
    let halt = attempt.and_then(|attempt| halt(attempt, spec.measure.warmup, why));
    let all: Vec<f64> = generations.iter().flatten().map(|(_, seconds)| *seconds).collect();
    if all.is_empty() && halt.is_none() {
        let has_stamps = finished.iter().any(|generation| !generation.token_stamps_s.is_empty());
        return Gaps::Missing(match has_stamps {
            true => "a single token has no gap".into(),
            false => why.to_owned(),
        });
    }
    let is_pause = stand_apart(&all);
    Gaps::Measured(Box::new(Series {
        tokens: by_token(&generations, &is_pause),
        texts: texts(&finished),
        median_s: median(&all),
        pauses: pauses(&generations, &all, &is_pause),
        ended: ended(&finished),
        warm_ups: spec.measure.warmup,
        halt,
        in_pieces: finished.iter().any(|generation| generation.came_in_pieces()),
        generations,
    }))
}

/// The gaps between stamps with the positions of the tokens they come before. What is no time is left out.
fn gaps(stamps: &[f64]) -> Vec<(usize, f64)> {
    let pairs = stamps.windows(2).enumerate();
    pairs
        .map(|(index, pair)| (index + 2, pair[1] - pair[0]))
        .filter(|(_, seconds)| plausible(*seconds))
        .collect()
}

fn by_token(generations: &[Vec<(usize, f64)>], is_pause: &[bool]) -> Vec<TokenGap> {
    let last = generations.iter().flatten().map(|(token, _)| *token).max().unwrap_or(0);
    let mut columns: Vec<Vec<(f64, bool)>> = vec![Vec::new(); last + 1];
    for ((token, seconds), is_pause) in generations.iter().flatten().zip(is_pause) {
        if let Some(column) = columns.get_mut(*token) {
            column.push((*seconds, *is_pause));
        }
    }
    let one = |(token, column): (usize, Vec<(f64, bool)>)| {
        let all: Vec<f64> = column.iter().map(|(seconds, _)| *seconds).collect();
        let usual = column
            .iter()
            .filter(|(_, is_pause)| !is_pause)
            .map(|(seconds, _)| *seconds);
        let least_s = all.iter().copied().reduce(f64::min)?;
        Some(TokenGap {
            token,
            n: all.len(),
            least_s,
            median_s: median(&all)?,
            most_s: all.iter().copied().reduce(f64::max)?,
            usual_s: usual.fold(least_s, f64::max),
        })
    };
    columns.into_iter().enumerate().filter_map(one).collect()
}

fn pauses(generations: &[Vec<(usize, f64)>], all: &[f64], is_pause: &[bool]) -> Vec<Pause> {
    let Some(middle) = median(all).filter(|middle| *middle > 0.0) else {
        return Vec::new();
    };
    let gaps = generations.iter().flatten().zip(is_pause);
    let mut pauses: Vec<Pause> = gaps
        .filter(|(_, is_pause)| **is_pause)
        .map(|(&(token, seconds), _)| Pause {
            token,
            seconds,
            times: seconds / middle,
        })
        .collect();
    pauses.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then(a.token.cmp(&b.token)));
    pauses
}

/// Which durations stand apart: those beyond Tukey's outer fence that are at least twice the median, and those of at least
/// ten times the median.
#[must_use]
pub fn stand_apart(seconds: &[f64]) -> Vec<bool> {
    let middle = median(seconds).filter(|middle| *middle > 0.0).unwrap_or(f64::INFINITY);
    let far_out = outliers(seconds);
    let is_apart = |(position, value): (usize, &f64)| {
        let times = value / middle;
        times >= SURELY || (times >= FEWEST_TIMES && far_out.binary_search(&position).is_ok())
    };
    seconds.iter().enumerate().map(is_apart).collect()
}

/// How generations ended, and whether gaps are those between arrivals.
fn ended(finished: &[&Generation]) -> String {
    let mut reasons: Vec<&str> = finished
        .iter()
        .map(|generation| generation.finish_reason.as_str())
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    let in_pieces = match finished.iter().any(|generation| generation.came_in_pieces()) {
        true => "; gaps between arrivals of several tokens",
        false => "",
    };
    match reasons.as_slice() {
        [] => String::new(),
        reasons => format!("ended by {}{in_pieces}", reasons.join(" or ")),
    }
}

fn halt(attempt: &Attempt, warm_ups: u32, why: &str) -> Option<Halt> {
    let stamps: Vec<f64> = attempt.partial_tokens.iter().map(|(stamp, _)| *stamp).collect();
    if stamps.is_empty() {
        return None;
    }
    let words = match &attempt.outcome {
        Outcome::Stalled { limit_s, last, .. } => {
            let waited = last
                .for_s
                .zip(last.last_token_before_s)
                .map(|(there, before)| there + before);
            let waited = waited.filter(|seconds| plausible(*seconds)).unwrap_or(*limit_s);
            format!("no token for {}", human_seconds(waited))
        }
        Outcome::Completed => return None,
        _ => line(why),
    };
    let prefills = attempt
        .phases
        .iter()
        .filter(|span| span.phase == placebench_core::outcome::Phase::Prefill);
    Some(Halt {
        gaps: gaps(&stamps),
        tokens: stamps.len(),
        words,
        in_warm_up: attempt.generations.is_empty() && prefills.count() <= warm_ups as usize,
    })
}

/// What each token says, where all generations have the same one there: its text, or its number where it has none.
fn texts(finished: &[&Generation]) -> Vec<String> {
    let Some((first, others)) = finished.split_first() else {
        return Vec::new();
    };
    if !finished.iter().all(|generation| generation.has_ids()) {
        return pieces(first, others);
    }
    let one = |(index, id): (usize, &u32)| {
        if others
            .iter()
            .any(|other| other.output_ids.get(index).is_some_and(|there| there != id))
        {
            return "differs between generations".to_owned();
        }
        match text_of(first, index).filter(|text| !text.is_empty()) {
            Some(text) => format!("“{}”", visible(text, Lines::Join, LONGEST_TOKEN)),
            None => format!("id {id}"),
        }
    };
    first.output_ids.iter().enumerate().map(one).collect()
}

/// The same of engines that tell texts only: what each arrival says.
fn pieces(first: &Generation, others: &[&Generation]) -> Vec<String> {
    let one = |index: usize| {
        let own = text_of(first, index);
        let parts = |other: &&Generation| text_of(other, index).is_some_and(|text| Some(text) != own);
        match own {
            _ if others.iter().any(parts) => "differs between generations".to_owned(),
            Some(text) => format!("“{}”", visible(text, Lines::Join, LONGEST_TOKEN)),
            None => String::new(),
        }
    };
    (0..first.text_offsets.len()).map(one).collect()
}

fn text_of(generation: &Generation, index: usize) -> Option<&str> {
    let offset = |index: usize| generation.text_offsets.get(index).map(|offset| *offset as usize);
    let from = match index.checked_sub(1) {
        Some(before) => offset(before)?,
        None => 0,
    };
    generation.text.get(from..offset(index)?)
}

/// What the gaps show, in a sentence: a halt first, then the longest pause, then a drift, else how even they are.
pub(super) fn title<'a>(cases: impl Iterator<Item = (&'a str, &'a Gaps)>) -> String {
    let measured: Vec<(&str, &Series)> = cases.filter_map(|(name, gaps)| Some((name, gaps.series()?))).collect();
    let halted = measured
        .iter()
        .find_map(|(name, series)| Some((name, series.halt.as_ref()?)));
    if let Some((name, halt)) = halted {
        let tokens = count(halt.tokens, "token", "tokens");
        let in_warm_up = if halt.in_warm_up { " of a warm-up" } else { "" };
        return format!("{name}: {} after {tokens}{in_warm_up}", halt.words);
    }
    let longest = measured
        .iter()
        .filter_map(|(name, series)| Some((name, series.pauses.first()?)))
        .max_by(|a, b| a.1.times.total_cmp(&b.1.times));
    if let Some((name, pause)) = longest {
        return format!(
            "{name} paused before token {}: {}, {} × its median gap",
            pause.token,
            human_seconds(pause.seconds),
            times(pause.times)
        );
    }
    let drifts = measured
        .iter()
        .filter_map(|(name, series)| Some((name, drift(series)?)));
    if let Some((name, ratio)) = drifts
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .filter(|(_, ratio)| *ratio >= 1.2)
    {
        return format!("{name} slows down: the last gaps are {} × the first", times(ratio));
    }
    let spread = measured.iter().filter_map(|(_, series)| {
        let middle = series.median_s.filter(|middle| *middle > 0.0)?;
        series.tokens.iter().map(|token| token.most_s / middle).reduce(f64::max)
    });
    match spread.reduce(f64::max) {
        Some(most) if most < 1.5 => {
            let above = ((most - 1.0) * 100.0).ceil().max(1.0);
            format!("Tokens come evenly: no gap is more than {above:.0} % above its placement's median")
        }
        Some(most) => format!(
            "Tokens come without a pause: the longest gap is {} × its placement's median",
            times(most)
        ),
        None => "No gap between tokens was measured".into(),
    }
}

/// The median gap of the last quarter of the tokens against that of the first, where there are enough to tell.
fn drift(series: &Series) -> Option<f64> {
    let gaps: Vec<f64> = series.tokens.iter().map(|token| token.median_s).collect();
    let quarter = gaps.len() / 4;
    if quarter < 4 {
        return None;
    }
    let first = median(gaps.get(..quarter)?).filter(|first| *first > 0.0)?;
    Some(median(gaps.get(gaps.len() - quarter..)?)? / first)
}
