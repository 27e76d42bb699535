//! What is generated: prompts, lengths, ends, and whether it is the same again.

use placebench_core::outcome::FailureClass;
use placebench_core::placement::Concurrency;
use placebench_core::protocol::{FinishReason, Message, Prompt, Sampling};

use super::super::answer::{Answer, Stop};
use super::super::check::Check;
use super::super::lab::{Lab, TOKENS};
use super::super::model;
use super::placement::same_output;

/// Tokens of a long prompt.
const LONG_PROMPT: u32 = 512;
/// So hot that two seeds never make the same eight tokens.
const TEMPERATURE: f64 = 5.0;

pub(crate) const REPEATABLE: Check = Check {
    name: "repeatable",
    requires: "The same request has the same tokens: in one process, and in another",
    section: "generation",
    help: "greedy text depends on nothing but the request; give random weights the seed of the request",
    after: &[],
    ask: repeatable,
};

pub(crate) const ONE_TOKEN: Check = Check {
    name: "one_token",
    requires: "A generation of one token ends after it, for its length",
    section: "generation",
    help: "the first token is made by the prefill and counts",
    after: &[],
    ask: one_token,
};

pub(crate) const LONG_PROMPT_CHECK: Check = Check {
    name: "long_prompt",
    requires: "A prompt of 512 tokens is continued",
    section: "prompts",
    help: "look at buffers and masks that are made for short prompts",
    after: &[],
    ask: long_prompt,
};

pub(crate) const TEXT_PROMPT: Check = Check {
    name: "text_prompt",
    requires: "A prompt of text is continued, or refused where there is no tokenizer",
    section: "prompts",
    help: "refuse with `tokenizer` what cannot be tokenised",
    after: &[],
    ask: text_prompt,
};

pub(crate) const MESSAGES_PROMPT: Check = Check {
    name: "messages_prompt",
    requires: "A prompt of messages is continued, or refused where there is no chat template",
    section: "prompts",
    help: "refuse with `tokenizer` where the model has no template",
    after: &[],
    ask: messages_prompt,
};

pub(crate) const IGNORE_EOS: Check = Check {
    name: "ignore_eos",
    requires: "An end token ends a generation, and with `ignore_eos` it does not",
    section: "generation",
    help: "with ignore_eos go on to max_new_tokens, whatever is generated",
    after: &["repeatable"],
    ask: ignore_eos,
};

pub(crate) const STOP: Check = Check {
    name: "stop",
    requires: "A stop text ends the generation and is not part of its text",
    section: "generation",
    help: "look for stop texts in the text, not among tokens; cut the text before the first",
    after: &["repeatable"],
    ask: stop,
};

pub(crate) const SAMPLING: Check = Check {
    name: "sampling",
    requires: "Sampling with one seed gives the same tokens twice and with another seed others; or it is refused",
    section: "generation",
    help: "draw with a generator that is seeded by sampling.seed and nothing else, or refuse sampling with `unsupported`",
    after: &["repeatable"],
    ask: sampling,
};

pub(crate) const COMPANIONS: Check = Check {
    name: "companions",
    requires: "Companion prompts are generated together with the first, or refused",
    section: "placement",
    help: "refuse concurrency you do not have with `unsupported`; never leave companions out",
    after: &["repeatable"],
    ask: companions,
};

pub(crate) const PROBE: Check = Check {
    name: "probe",
    requires: "The logits of `probed` are those the first token is made from",
    section: "events",
    help: "tell the logits at the last position of the prompt, or leave the event out",
    after: &[],
    ask: probe,
};

pub(crate) const AUDIT: Check = Check {
    name: "audit",
    requires: "An audit is told with `audited`, or refused",
    section: "the-request",
    help: "refuse `audit` with `request_invalid` where you cannot tell what modules make",
    after: &[],
    ask: audit,
};

fn repeatable(lab: &mut Lab) -> Result<Answer, Stop> {
    let base = lab.base()?;
    let made = &base.attempt.generations;
    if let [first, second, ..] = made.as_slice()
        && (&first.output_ids, &first.text) != (&second.output_ids, &second.text)
    {
        return Ok(Answer::failed(format!(
            "in one process the first repetition has the tokens {:?}, the second {:?}",
            first.output_ids, second.output_ids
        )));
    }
    let request = lab.request()?;
    let seen = lab.attempt(&request)?;
    seen.must_complete()?;
    same_output(lab.base()?, &seen, "in one process", "in another")
}

fn one_token(lab: &mut Lab) -> Result<Answer, Stop> {
    let mut request = lab.request()?;
    request.generation.max_new_tokens = 1;
    request.repetitions = 2;
    let seen = lab.attempt(&request)?;
    seen.must_complete()?;
    let made = seen.generation();
    match made.map(|made| (made.output_count(), made.finish_reason)) {
        Some((1, FinishReason::Length | FinishReason::Eos)) => Ok(Answer::passed()),
        Some((count, reason)) => Ok(Answer::failed(format!(
            "{count} tokens, and it ended for `{}`",
            reason.as_str()
        ))),
        None => Ok(Answer::failed("no generation was measured")),
    }
}

fn long_prompt(lab: &mut Lab) -> Result<Answer, Stop> {
    let mut request = lab.request()?;
    request.prompt = match lab.setup.is_dummy {
        true => Prompt::InputIds(model::prompt(LONG_PROMPT)),
        false => Prompt::Text("once more ".repeat(LONG_PROMPT as usize / 2)),
    };
    let seen = lab.attempt(&request)?;
    seen.must_complete()?;
    let told = seen.generation().and_then(|made| made.input_count());
    match told {
        Some(count) if lab.setup.is_dummy && count != LONG_PROMPT as usize => {
            Ok(Answer::failed(format!("of {LONG_PROMPT} tokens {count} were read")))
        }
        _ => Ok(Answer::passed()),
    }
}

fn text_prompt(lab: &mut Lab) -> Result<Answer, Stop> {
    prompted(lab, Prompt::Text("Once upon a time".to_owned()))
}

fn messages_prompt(lab: &mut Lab) -> Result<Answer, Stop> {
    let turn = Message {
        role: "user".to_owned(),
        content: "Say one word.".to_owned(),
    };
    prompted(lab, Prompt::Messages(vec![turn]))
}

fn prompted(lab: &mut Lab, prompt: Prompt) -> Result<Answer, Stop> {
    let mut request = lab.request()?;
    request.prompt = prompt;
    let seen = lab.attempt(&request)?;
    match seen.failure() {
        Some(failure) if failure.class == FailureClass::Tokenizer => Ok(Answer::refused(failure)),
        _ => {
            seen.may_refuse()?;
            Ok(Answer::passed())
        }
    }
}

fn ignore_eos(lab: &mut Lab) -> Result<Answer, Stop> {
    let mut request = lab.request()?;
    let mut ended = None;
    if lab.is_own_model() {
        // A token that comes for the first time in the middle of the text becomes the end token.
        let ids = lab
            .base()?
            .generation()
            .map(|made| made.output_ids.clone())
            .unwrap_or_default();
        let is_new = |position: &usize| {
            let (before, from) = ids.split_at(*position);
            from.first().is_some_and(|id| !before.contains(id))
        };
        if let Some(position) = (1..ids.len().saturating_sub(1)).find(is_new) {
            let config = model::config(ids.get(position).copied().unwrap_or_default());
            request.model = lab.dummy("ends.json", &config.to_string())?;
            let seen = lab.attempt(&request)?;
            seen.must_complete()?;
            ended = seen
                .generation()
                .filter(|made| made.finish_reason == FinishReason::Eos)
                .map(|made| (made.output_count(), position + 1));
        }
    }
    if let Some((made, expected)) = ended.filter(|(made, expected)| made != expected) {
        return Ok(Answer::failed(format!(
            "the end token is the one in place {expected}, and the generation ended with {made} tokens"
        )));
    }
    request.generation.ignore_eos = true;
    let seen = lab.attempt(&request)?;
    seen.may_refuse()?;
    match seen.generation().map(|made| (made.output_count(), made.finish_reason)) {
        Some((count, FinishReason::Length)) if count == TOKENS as usize => match ended {
            Some(_) => Ok(Answer::passed()),
            None => Ok(Answer::not_applicable("no generation ended with an end token here")),
        },
        Some((count, reason)) => Ok(Answer::failed(format!(
            "with ignore_eos {TOKENS} tokens were asked for: {count} were made, and it ended for `{}`",
            reason.as_str()
        ))),
        None => Ok(Answer::failed("no generation was measured")),
    }
}

fn stop(lab: &mut Lab) -> Result<Answer, Stop> {
    let text = lab
        .base()?
        .generation()
        .map(|made| made.text.clone())
        .unwrap_or_default();
    // A character from the middle of the text, and what comes before the first one like it.
    let Some(found) = text
        .chars()
        .nth(text.chars().count() / 2)
        .filter(|_| text.chars().count() > 1)
    else {
        return Ok(Answer::not_applicable(
            "the model makes no text: name one with a tokenizer with --model",
        ));
    };
    let before = text.split(found).next().unwrap_or_default();
    let mut request = lab.request()?;
    request.generation.stop = vec![found.to_string()];
    let seen = lab.attempt(&request)?;
    seen.may_refuse()?;
    match seen.generation() {
        Some(made) if made.finish_reason == FinishReason::Stop && made.text == before => Ok(Answer::passed()),
        Some(made) => Ok(Answer::failed(format!(
            "of {text:?} with the stop text {found:?} {before:?} is left; it made {:?} and ended for `{}`",
            made.text,
            made.finish_reason.as_str()
        ))),
        None => Ok(Answer::failed("no generation was measured")),
    }
}

fn sampling(lab: &mut Lab) -> Result<Answer, Stop> {
    let mut texts = Vec::new();
    for seed in [1, 1, 2] {
        let mut request = lab.request()?;
        request.generation.sampling = Some(Sampling {
            temperature: TEMPERATURE,
            top_k: None,
            top_p: None,
            seed,
        });
        let seen = lab.attempt(&request)?;
        seen.may_refuse()?;
        texts.push(seen.output().map(|(ids, text)| (ids.to_vec(), text.to_owned())));
    }
    match texts.as_slice() {
        [first, second, _] if first != second => Ok(Answer::failed(format!(
            "seed 1 gives {first:?}, and the next time {second:?}"
        ))),
        [first, _, other] if first == other => Ok(Answer::failed(format!(
            "at temperature {TEMPERATURE} seeds 1 and 2 give the same: {first:?}"
        ))),
        _ => Ok(Answer::passed()),
    }
}

fn companions(lab: &mut Lab) -> Result<Answer, Stop> {
    let mut told = Vec::new();
    for (name, concurrency) in [
        ("batch", Concurrency::Batch(2)),
        ("in_flight", Concurrency::InFlight(2)),
    ] {
        let mut request = lab.request()?;
        request.placement.concurrency = concurrency;
        request.companion_prompts = vec![request.prompt.clone()];
        let seen = lab.attempt(&request)?;
        if let Some(failure) = seen.refusal() {
            told.push(Err(format!("{name}: {}", failure.message)));
            continue;
        }
        seen.must_complete()?;
        let Some(made) = seen.generation() else {
            return Ok(Answer::failed("no generation was measured"));
        };
        // That there are as many companions as were asked for is a rule of the events.
        if let Some(companion) = made.companions.iter().find(|other| other.output_ids != made.output_ids) {
            return Ok(Answer::failed(format!(
                "{name}: two equal prompts are continued with {:?} and {:?}",
                made.output_ids, companion.output_ids
            )));
        }
        told.push(Ok(name));
    }
    let done: Vec<&str> = told.iter().filter_map(|told| told.as_ref().ok().copied()).collect();
    match (done.as_slice(), told.first()) {
        ([], Some(Err(why))) => Ok(Answer::not_applicable(format!("the engine refuses it: {why}"))),
        _ => Ok(Answer::passed_with(done.join(", "))),
    }
}

fn probe(lab: &mut Lab) -> Result<Answer, Stop> {
    let mut request = lab.request()?;
    request.probe = true;
    let seen = lab.attempt(&request)?;
    seen.may_refuse()?;
    let Some(probe) = &seen.attempt.probe else {
        return Ok(Answer::not_applicable(
            "the engine sends no `probed`, which is optional",
        ));
    };
    let made = seen.generation();
    let counted = made.and_then(|made| made.input_count());
    if counted.is_some_and(|counted| counted != probe.input_tokens as usize) {
        return Ok(Answer::failed(format!(
            "`probed` has a prompt of {} tokens, the generation one of {}",
            probe.input_tokens,
            counted.unwrap_or_default()
        )));
    }
    let first = made.and_then(|made| made.output_ids.first());
    match (probe.top5.first(), first) {
        (Some(likeliest), Some(first)) if likeliest.id != *first => Ok(Answer::failed(format!(
            "the largest logit of `probed` is that of {}, and the first token is {first}",
            likeliest.id
        ))),
        _ => Ok(Answer::passed()),
    }
}

fn audit(lab: &mut Lab) -> Result<Answer, Stop> {
    let mut request = lab.request()?;
    request.audit = true;
    let seen = lab.attempt(&request)?;
    seen.may_refuse()?;
    match seen.attempt.audit.is_empty() {
        true => Ok(Answer::failed("an audit was asked for, and no event `audited` came")),
        false => same_output(lab.base()?, &seen, "without an audit", "with one"),
    }
}
