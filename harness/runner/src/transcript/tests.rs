//! What a worker may say in which order. The same breaches are provoked in a real process in `tests/supervision.rs`.

use placebench_core::audit::{AuditEntry, AuditStep, Digest, Side, TensorPrint};
use placebench_core::device::DeviceBytes;
use placebench_core::outcome::{FailureClass, Outcome};
use placebench_core::protocol::{FinishReason, MemoryKind};
use placebench_core::units::Bytes;

use super::*;
use crate::fixture;
use crate::run::request_of;
use crate::supervisor::attempt_without_process;

fn transcript(warmup: u32, repetitions: u32) -> Transcript {
    Transcript::new(&WorkerRequest {
        warmup,
        ..request_of(&fixture::case(), repetitions)
    })
}

fn hello() -> EventKind {
    EventKind::Hello {
        protocol: PROTOCOL_VERSION,
        engine: "mock".into(),
        versions: vec!["mock 1".into()],
        profile: "release".into(),
        stacks: None,
    }
}

fn started(generation: u32, warmup: bool) -> EventKind {
    EventKind::Started { generation, warmup }
}

fn token(generation: u32, index: u32) -> EventKind {
    EventKind::Token {
        generation,
        sequence: 0,
        index,
        id: Some(7 + index),
        top2_gap: Some(1.0),
    }
}

fn finished(generation: u32, warmup: bool) -> EventKind {
    EventKind::Finished {
        generation,
        warmup,
        result: Generation {
            input_ids: vec![1],
            output_ids: vec![7],
            text: "x".into(),
            finish_reason: FinishReason::Eos,
            start_s: 0.0,
            token_stamps_s: vec![0.1],
            top2_gaps: vec![1.0],
            top5: Vec::new(),
            hops: vec![0],
            transfer_bytes: vec![0],
            streamed_bytes: Vec::new(),
            stage_times_s: Vec::new(),
            text_offsets: Vec::new(),
            companions: Vec::new(),
            input_tokens: None,
            output_tokens: None,
        },
    }
}

/// Says one thing after the other, a second apart, as lines.
fn say(transcript: &mut Transcript, kinds: &[EventKind]) -> Result<(), Breach> {
    for (second, kind) in kinds.iter().enumerate() {
        let event = WorkerEvent {
            t_s: second as f64,
            kind: kind.clone(),
        };
        let line = Line::Whole(serde_json::to_vec(&event).unwrap());
        assert_eq!(transcript.take(&line)?, Some(event));
    }
    Ok(())
}

fn breach(warmup: u32, repetitions: u32, kinds: &[EventKind]) -> String {
    say(&mut transcript(warmup, repetitions), kinds)
        .unwrap_err()
        .to_string()
}

#[test]
fn warm_ups_are_counted_and_not_kept() {
    let mut transcript = transcript(1, 1);
    let kinds = [
        hello(),
        started(0, true),
        token(0, 0),
        finished(0, true),
        started(1, false),
        token(1, 0),
        finished(1, false),
        EventKind::Done,
    ];
    say(&mut transcript, &kinds).unwrap();
    assert!(transcript.is_done());
    assert_eq!(transcript.generations.len(), 1);
    assert_eq!(transcript.breach_at_end(), None);
}

#[test]
fn what_is_held_after_each_generation_is_kept_in_order() {
    let held = |generation: u32, bytes: u64| EventKind::Held {
        generation,
        devices: vec![DeviceBytes {
            device: DeviceId::cpu(),
            bytes: Bytes(bytes),
        }],
    };
    let begin = [hello(), started(0, true), token(0, 0)];
    let first = [finished(0, true), held(0, 7)];
    let second = [started(1, false), token(1, 0), finished(1, false), held(1, 9)];
    let struck = EventKind::FaultsStruck { struck: vec![1] };
    let mut transcript = transcript(1, 1);
    let whole = [&begin[..], &first, &second, &[struck, EventKind::Done]].concat();
    say(&mut transcript, &whole).unwrap();
    let bytes: Vec<u64> = transcript.held.iter().map(|devices| devices[0].bytes.0).collect();
    assert_eq!(bytes, [7, 9]);
    assert_eq!(transcript.faults_struck, Some(vec![1]));
    for wrong in [vec![held(0, 7)], [&first[..], &[held(0, 7)]].concat(), vec![held(1, 7)]] {
        let message = breach(1, 1, &[&begin[..], &wrong].concat());
        assert!(message.contains("`held` of generation"), "{message}");
    }
}

#[test]
fn parts_of_a_step_become_one_and_belong_to_the_running_generation() {
    let audited = |generation: u32, token: u32, at: &str| {
        let entry = AuditEntry {
            at: at.into(),
            side: Side::Output,
            device: DeviceId::cpu(),
            changed: None,
            print: TensorPrint::of("f32", &[1, 1], &1_f32.to_le_bytes(), |_| 1.0),
        };
        EventKind::Audited(AuditStep {
            generation,
            token,
            input: Digest::of_tokens(&[7]),
            input_tokens: 1,
            entries: vec![entry],
        })
    };
    let mut transcript = transcript(0, 1);
    let kinds = [
        hello(),
        started(0, false),
        audited(0, 0, "a"),
        audited(0, 0, "b"),
        token(0, 0),
        audited(0, 1, "a"),
    ];
    say(&mut transcript, &kinds).unwrap();
    let steps: Vec<(u32, usize)> = transcript
        .audit
        .iter()
        .map(|step| (step.token, step.entries.len()))
        .collect();
    assert_eq!(steps, [(0, 2), (1, 1)]);
    assert_eq!(
        breach(0, 1, &[hello(), audited(0, 0, "a")]),
        "`audited` of generation 0 where no running generation was expected"
    );
}

#[test]
fn generations_come_in_order_and_complete() {
    assert_eq!(
        breach(
            1,
            1,
            &[
                hello(),
                started(0, true),
                token(0, 0),
                finished(0, true),
                EventKind::Done
            ]
        ),
        "`done` after 1 of 1 warm-ups and 0 of 1 measured generations"
    );
    assert_eq!(
        breach(0, 1, &[hello(), started(0, true), finished(0, false)]),
        "generation 0 was started with warmup = true and finished with warmup = false"
    );
    assert_eq!(
        breach(0, 2, &[hello(), started(1, false)]),
        "`started` of generation 1 where generation 0 was expected"
    );
    assert_eq!(
        breach(0, 2, &[hello(), started(0, false), started(1, false)]),
        "`started` of generation 1 where the end of generation 0 was expected"
    );
    assert_eq!(
        breach(0, 1, &[hello(), started(0, false), token(1, 0)]),
        "`token` of generation 1 where generation 0 was expected"
    );
    assert_eq!(
        breach(0, 1, &[hello(), token(0, 0)]),
        "`token` of generation 0 where no running generation was expected"
    );
    assert_eq!(
        breach(0, 1, &[hello(), started(0, false), token(0, 0), token(0, 0)]),
        "token 0 of generation 0 where token 1 was expected"
    );
    assert_eq!(breach(0, 1, &[hello(), hello()]), "a second `hello`");
}

#[test]
fn companions_are_as_many_as_asked_for_and_in_order() {
    let of = |sequence: u32, index: u32| EventKind::Token {
        generation: 0,
        sequence,
        index,
        id: Some(7),
        top2_gap: Some(1.0),
    };
    let heard = |kinds: &[EventKind]| {
        let mut request = request_of(&fixture::case(), 1);
        request.warmup = 0;
        request.companion_prompts = vec![request.prompt.clone()];
        say(&mut Transcript::new(&request), kinds)
    };
    let with_companions = |number: usize| {
        let mut event = finished(0, false);
        if let EventKind::Finished { result, .. } = &mut event {
            result.companions = vec![result.clone(); number];
        }
        event
    };
    let begun = [hello(), started(0, false), of(0, 0), of(1, 0)];
    let ended = |event: EventKind| [begun.as_slice(), &[event, EventKind::Done]].concat();
    assert!(heard(&ended(with_companions(1))).is_ok());
    let wrong = heard(&ended(with_companions(0))).unwrap_err().to_string();
    assert_eq!(wrong, "generation 0 has 0 companions where 1 were asked for");
    let wrong = heard(&[begun.as_slice(), &[of(2, 0)]].concat())
        .unwrap_err()
        .to_string();
    assert!(wrong.starts_with("a token of sequence 2"), "{wrong}");
    let wrong = heard(&[begun.as_slice(), &[of(1, 2)]].concat())
        .unwrap_err()
        .to_string();
    assert_eq!(wrong, "token 2 of generation 0 where token 1 was expected");
    // What is reported of a companion is what was streamed, too.
    let wrong = heard(&[begun.as_slice(), &[of(1, 1), with_companions(1)]].concat());
    assert_eq!(
        wrong.unwrap_err().to_string(),
        "generation 0 in sequence 1 was reported with 1 tokens, but 2 had been streamed"
    );
}

#[test]
fn what_is_reported_in_the_end_is_what_was_streamed() {
    let other = EventKind::Token {
        generation: 0,
        sequence: 0,
        index: 0,
        id: Some(8),
        top2_gap: Some(1.0),
    };
    assert_eq!(
        breach(0, 1, &[hello(), started(0, false), other, finished(0, false)]),
        "token 0 of generation 0 was streamed as 8 and reported as 7 in the end"
    );
    assert_eq!(
        breach(
            0,
            1,
            &[hello(), started(0, false), token(0, 0), token(0, 1), finished(0, false)]
        ),
        "generation 0 was reported with 1 tokens, but 2 had been streamed"
    );
    assert_eq!(
        breach(0, 1, &[hello(), started(0, false), finished(0, false)]),
        "generation 0 was reported with 1 tokens, but 0 had been streamed"
    );
}

#[test]
fn tokens_that_were_told_in_part_may_be_taken_back() {
    let without_ids = |stamps: Vec<f64>| {
        let mut event = finished(0, false);
        if let EventKind::Finished { result, .. } = &mut event {
            (result.output_ids, result.token_stamps_s) = (Vec::new(), stamps);
            result.output_tokens = Some(1);
        }
        event
    };
    let streamed = [hello(), started(0, false), token(0, 0)];
    let kinds: Vec<EventKind> = streamed.iter().cloned().chain([without_ids(vec![0.1])]).collect();
    say(&mut transcript(0, 1), &kinds).unwrap();
    let kinds: Vec<EventKind> = streamed.into_iter().chain([without_ids(Vec::new())]).collect();
    assert_eq!(
        breach(0, 1, &kinds),
        "generation 0 was reported with 0 tokens, but 1 had been streamed"
    );
}

#[test]
fn tokens_without_their_stamps_are_refused() {
    let mut finished = finished(0, false);
    if let EventKind::Finished { result, .. } = &mut finished {
        result.token_stamps_s.clear();
    }
    assert_eq!(
        breach(0, 1, &[hello(), started(0, false), finished]),
        "generation 0 has 1 tokens and 0 stamps"
    );
}

#[test]
fn a_worker_may_fail_before_it_has_said_hello() {
    let failure = WorkerFailure {
        class: FailureClass::RequestInvalid,
        message: "no such engine".into(),
        phase: Phase::Spawn,
        device: None,
        needed_bytes: None,
        allowed_bytes: None,
        place: None,
        rank: None,
    };
    let mut transcript = transcript(0, 1);
    let error = EventKind::Error {
        failure: failure.clone(),
    };
    say(&mut transcript, std::slice::from_ref(&error)).unwrap();
    assert_eq!(transcript.error(), Some(&failure));
    assert!(!transcript.is_done());
    assert_eq!(breach(0, 1, &[error.clone(), hello()]), "`hello` after `error`");
}

#[test]
fn stamps_of_unfinished_tokens_count_from_the_start_of_the_generation() {
    let mut transcript = transcript(0, 1);
    say(&mut transcript, &[hello(), started(0, false), token(0, 0), token(0, 1)]).unwrap();
    assert_eq!(transcript.tokens_under_way(), Some(2));
    assert_eq!(transcript.tokens_made(), 2);
    let attempt = attempt_without_process(&fixture::case(), 0, String::new(), Outcome::Completed);
    assert_eq!(
        transcript.into_record(attempt).partial_tokens,
        [(1.0, Some(7)), (2.0, Some(8))]
    );
}

#[test]
fn phases_have_a_beginning_and_an_end() {
    let mut transcript = transcript(0, 1);
    let phase = |phase| EventKind::Phase { phase };
    say(&mut transcript, &[hello(), phase(Phase::Load), phase(Phase::Prepare)]).unwrap();
    let spans: Vec<_> = transcript
        .phases
        .iter()
        .map(|span| (span.phase, span.start_s, span.end_s))
        .collect();
    assert_eq!(
        spans,
        [
            (Phase::Spawn, 0.0, Some(1.0)),
            (Phase::Load, 1.0, Some(2.0)),
            (Phase::Prepare, 2.0, None)
        ]
    );
    assert_eq!(transcript.phase(), Phase::Prepare);
}

#[test]
fn a_later_figure_of_memory_replaces_an_earlier_one() {
    let mut transcript = transcript(0, 1);
    let figure = |kind, bytes| {
        EventKind::Memory(MemoryFigure {
            device: DeviceId::cpu(),
            kind,
            bytes: Bytes(bytes),
            allowed_bytes: None,
        })
    };
    let (peak, weights) = (MemoryKind::Peak, MemoryKind::Weights);
    say(
        &mut transcript,
        &[hello(), figure(peak, 1), figure(weights, 2), figure(peak, 3)],
    )
    .unwrap();
    let bytes: Vec<u64> = transcript.memory.iter().map(|figure| figure.bytes.0).collect();
    assert_eq!(bytes, [3, 2]);
}

#[test]
fn places_are_named_by_the_last_list() {
    let mut transcript = transcript(0, 1);
    let places = |name: &str| EventKind::Places {
        modules: vec![(name.into(), DeviceId::cpu())],
        hops: Vec::new(),
    };
    say(&mut transcript, &[hello(), places("old"), places("new")]).unwrap();
    assert_eq!(transcript.place(PlaceRef::Module(0)).unwrap().name(), "new");
    assert_eq!(transcript.place(PlaceRef::Module(1)), None);
    assert_eq!(transcript.place(PlaceRef::Hop(0)), None);
}

#[test]
fn empty_lines_mean_nothing_and_huge_ones_are_quoted_in_part() {
    let mut transcript = transcript(0, 1);
    assert_eq!(transcript.take(&Line::Whole(b"  \r".to_vec())), Ok(None));
    let huge = vec![b'x'; 1 << 20];
    let message = transcript.take(&Line::Whole(huge)).unwrap_err().to_string();
    assert!(message.len() < 300 && message.ends_with("…\""), "{message}");
}

#[test]
fn no_more_is_said_than_was_asked_for() {
    let enough = [hello(), started(0, false), token(0, 0), finished(0, false)];
    let more = [enough.as_slice(), &[started(1, false)]].concat();
    assert_eq!(
        breach(0, 1, &more),
        "`started` of generation 1 where `done` after 1 generations was expected"
    );
    let asked = fixture::case().generation.max_new_tokens;
    let tokens = (0..=asked).map(|index| token(0, index));
    let kinds: Vec<EventKind> = [hello(), started(0, false)].into_iter().chain(tokens).collect();
    assert!(say(&mut transcript(0, 1), &kinds[..kinds.len() - 1]).is_ok());
    let too_many = format!(
        "generation 0 has {} tokens where at most {asked} were asked for",
        asked + 1
    );
    assert_eq!(breach(0, 1, &kinds), too_many);
    let mut long = finished(0, false);
    if let EventKind::Finished { result, .. } = &mut long {
        result.output_ids = vec![7; asked as usize + 1];
        result.token_stamps_s = vec![0.5; asked as usize + 1];
    }
    assert_eq!(breach(0, 1, &[hello(), started(0, false), long]), too_many);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut chatty = transcript(0, 1);
    say(&mut chatty, &[hello()]).unwrap();
    let phase = |_| WorkerEvent {
        t_s: 0.0,
        kind: EventKind::Phase { phase: Phase::Decode },
    };
    let refused = (0..200_000).map(phase).find_map(|event| chatty.accept(&event).err());
    assert_eq!(refused.unwrap().to_string(), "more than 100000 phases");
    assert_eq!(chatty.phases.len(), limits::MOST_PHASES);

    let mut chatty = transcript(0, 1);
    say(&mut chatty, &[hello()]).unwrap();
    let figure = |index: u32| WorkerEvent {
        t_s: 0.0,
        kind: EventKind::Memory(MemoryFigure {
            device: DeviceId::new(&format!("sim:{index}")).unwrap(),
            kind: MemoryKind::Peak,
            bytes: Bytes(1),
            allowed_bytes: None,
        }),
    };
    let refused = (0..2000).map(figure).find_map(|event| chatty.accept(&event).err());
    assert_eq!(refused.unwrap().to_string(), "more than 1000 figures of memory");

    let mut chatty = transcript(0, 1);
    chatty.heard = limits::MOST_BYTES - 16;
    let blank = Line::Whole(vec![b' '; 10]);
    assert_eq!(chatty.take(&blank), Ok(None));
    let refused = chatty.take(&blank).unwrap_err();
    assert_eq!(refused.to_string(), "more than 1073741824 bytes of events");
}

#[test]
fn times_do_not_go_back() {
    let mut transcript = transcript(0, 1);
    let at = |t_s: f64, kind: EventKind| WorkerEvent { t_s, kind };
    transcript.accept(&at(1.0, hello())).unwrap();
    transcript.accept(&at(1.0, started(0, false))).unwrap();
    let back = transcript.accept(&at(0.5, token(0, 0))).unwrap_err().to_string();
    assert_eq!(back, "`token` at 0.5 s, after an event at 1 s: its clock goes back");
}

/// A record that held an infinity could not be read again: JSON has none, but `1e39` is one in 32 bits.
#[test]
fn figures_are_numbers() {
    type Change = fn(&mut Generation);
    let with = |change: Change| {
        let mut event = finished(0, false);
        if let EventKind::Finished { result, .. } = &mut event {
            change(result);
            result.companions = Vec::new();
        }
        breach(0, 1, &[hello(), started(0, false), event])
    };
    let cases: [(Change, &str); 6] = [
        (|result| result.start_s = -1.0, "start_s"),
        (|result| result.token_stamps_s = vec![-0.1], "token_stamps_s"),
        (|result| result.token_stamps_s = vec![1e300], "token_stamps_s"),
        (
            |result| {
                result.output_ids = vec![7, 7];
                result.token_stamps_s = vec![0.2, 0.1];
            },
            "token_stamps_s",
        ),
        (|result| result.stage_times_s = vec![vec![-1.0]], "stage_times_s"),
        (|result| result.start_s = 1e300, "start_s"),
    ];
    for (change, what) in cases {
        let message = with(change);
        assert!(
            message.starts_with(&format!("{what} of `finished` can be")),
            "{message}"
        );
    }
    // As a worker would write them: serde gives infinities for these.
    let line = |event: &EventKind, from: &str, to: &str| {
        let event = WorkerEvent {
            t_s: 3.0,
            kind: event.clone(),
        };
        Line::Whole(serde_json::to_string(&event).unwrap().replace(from, to).into_bytes())
    };
    for (event, from, to) in [
        (token(0, 0), "\"top2_gap\":1.0", "\"top2_gap\":1e39"),
        (finished(0, false), "\"top2_gaps\":[1.0]", "\"top2_gaps\":[-1e39]"),
        (
            finished(0, false),
            "\"top5\":[]",
            "\"top5\":[[{\"id\":1,\"logit\":3.5e38}]]",
        ),
    ] {
        let mut transcript = transcript(0, 1);
        say(&mut transcript, &[hello(), started(0, false)]).unwrap();
        let message = transcript.take(&line(&event, from, to)).unwrap_err().to_string();
        assert!(message.contains("can be no such figure"), "{message}");
    }
}
