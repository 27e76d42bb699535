//! What is made of the pieces of an answer, and every way in which they contradict themselves.

use super::*;
use serde_json::json;

fn spec() -> GenerationSpec {
    GenerationSpec {
        max_new_tokens: 3,
        sampling: None,
        ignore_eos: false,
        stop: Vec::new(),
    }
}

fn fed(chunks: &[Value]) -> Result<Sequence, Wrong> {
    let mut sequence = Sequence::new(3);
    for (at, chunk) in (0_u8..).zip(chunks) {
        sequence.take(chunk.to_string().as_bytes(), f64::from(at))?;
    }
    Ok(sequence)
}

fn ended(chunks: &[Value], spec: &GenerationSpec) -> Result<(Generation, Vec<String>), Wrong> {
    fed(chunks)?.end(spec, &Prompt::Text("a".into()), 0.5)
}

fn token(text: &str, id: u32) -> Value {
    json!({"choices": [{"text": text, "index": 0, "finish_reason": null, "logprobs": {"content": [
        {"id": id, "token": text, "bytes": text.as_bytes(), "logprob": -0.25, "top_logprobs": [
            {"id": id, "token": text, "logprob": -0.25}, {"id": 1, "token": "x", "logprob": -1.75}]}]}}]})
}

fn piece(text: &str) -> Value {
    json!({"choices": [{"delta": {"content": text}, "index": 0, "finish_reason": null}]})
}

fn finish(reason: &str) -> Value {
    json!({"choices": [{"delta": {}, "text": "", "index": 0, "finish_reason": reason}]})
}

/// A token that completed `text`: of its bytes only the last, as its candidate says.
fn completes(text: &str, id: u32) -> Value {
    let mut chunk = token(text, id);
    let entry = &mut chunk["choices"][0]["logprobs"]["content"][0];
    entry["top_logprobs"][0]["bytes"] = json!(&text.as_bytes()[text.len() - 1..]);
    chunk
}

fn usage(prompt: u32, completion: u32) -> Value {
    json!({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}})
}

fn why(chunks: &[Value]) -> String {
    let wrong = ended(chunks, &spec()).unwrap_err();
    assert_eq!(wrong.class, FailureClass::Server);
    wrong.message
}

#[test]
fn tokens_with_their_numbers_are_a_whole_generation() {
    let chunks = [token("a", 7), token("é", 8), finish("length"), usage(4, 2)];
    let (made, notes) = ended(&chunks, &spec()).unwrap();
    assert_eq!(
        (made.text.as_str(), made.output_ids.as_slice()),
        ("aé", [7, 8].as_slice())
    );
    assert_eq!(
        (made.text_offsets.as_slice(), made.token_stamps_s.as_slice()),
        ([1, 3].as_slice(), [0.0, 1.0].as_slice())
    );
    assert_eq!((made.top2_gaps.as_slice(), made.top5.len()), ([1.5, 1.5].as_slice(), 2));
    assert_eq!(
        (made.input_tokens, made.output_tokens, made.start_s),
        (Some(4), None, 0.5)
    );
    assert_eq!(
        (made.finish_reason, notes),
        (FinishReason::Length, Vec::<String>::new())
    );
}

#[test]
fn tokens_of_one_piece_share_a_stamp_and_its_text() {
    let mut both = token("aé", 7);
    both["choices"][0]["logprobs"]["content"] = json!([
        {"id": 7, "token": "a", "bytes": [97], "top_logprobs": []},
        {"id": 8, "token": "\u{fffd}", "bytes": [195], "top_logprobs": []},
        {"id": 9, "token": "\u{fffd}", "bytes": [169], "top_logprobs": []}]);
    let (made, _) = ended(&[piece(""), both, finish("stop")], &spec()).unwrap();
    assert_eq!((made.token_stamps_s, made.text_offsets), (vec![1.0; 3], vec![1, 1, 3]));
    assert_eq!(
        (made.top5, made.top2_gaps, made.finish_reason),
        (vec![], vec![], FinishReason::Eos)
    );
}

#[test]
fn without_numbers_there_are_texts_and_the_servers_count() {
    let chunks = [piece("a"), piece(""), piece("b"), finish("length"), usage(4, 3)];
    let (made, notes) = ended(&chunks, &spec()).unwrap();
    assert_eq!(
        (made.output_ids.len(), made.token_stamps_s.as_slice()),
        (0, [0.0, 2.0].as_slice())
    );
    assert_eq!(
        (made.output_tokens, made.text_offsets.as_slice()),
        (Some(3), [1, 2].as_slice())
    );
    assert_eq!(
        notes,
        ["3 tokens came in 2 pieces of text: gaps are those between pieces"]
    );
    let (_, notes) = ended(&[piece("a"), finish("stop")], &spec()).unwrap();
    assert!(notes[0].contains("tells neither tokens nor their number"), "{notes:?}");
    // The end token is counted and has no text.
    let (made, notes) = ended(&[piece("a"), finish("stop"), usage(4, 2)], &spec()).unwrap();
    assert_eq!((made.output_tokens, notes.len()), (Some(2), 0));
}

#[test]
fn every_contradiction_is_a_sentence() {
    let long = [piece("a"), piece("b"), piece("c"), piece("d")];
    for (chunks, words) in [
        (vec![token("a", 7), usage(4, 1)], "did not say why"),
        (
            vec![token("a", 7), finish("stop"), usage(4, 3)],
            "counts 3 tokens in its answer, and sent 1 tokens",
        ),
        (
            vec![token("a", 7), token("b", 8), finish("stop"), usage(4, 1)],
            "counts 1 tokens in its answer, and sent 2",
        ),
        (
            vec![token("a", 7), finish("stop"), usage(4, 3)],
            "counts 3 tokens in its answer, and sent 1",
        ),
        (
            vec![piece("a"), finish("length"), usage(4, 9)],
            "counts 9 tokens in its answer, where at most 3",
        ),
        (
            vec![piece("a"), piece("b"), finish("stop"), usage(4, 1)],
            "counts 1 tokens in its answer, and sent 2 pieces",
        ),
        (long.to_vec(), "more than 3 pieces of text, where at most 3 tokens"),
        (vec![token("a", 7), finish("stop"), token("b", 8)], "went on"),
        (
            vec![token("a", 7), finish("content_filter")],
            "a reason of its own: `content_filter`",
        ),
        (
            vec![json!({"error": {"message": "out of memory"}})],
            "gave up in the middle of its answer",
        ),
        (
            vec![json!({"choices": [{"delta": {"tool_calls": [{}]}}]})],
            "call of a tool",
        ),
        (vec![json!([1])], "no piece of an answer"),
        (vec![json!({"choices": 3})], "no piece of an answer"),
    ] {
        let why = why(&chunks);
        assert!(why.contains(words), "{words}: {why}");
    }
    let mut some = token("b", 8);
    some["choices"][0]["logprobs"]["content"][0]["id"] = Value::Null;
    assert!(why(&[token("a", 7), some]).contains("numbers of some tokens"));
    let not_utf8 = Sequence::new(3).take(b"{\"a\": \"\xff\"}", 0.0).unwrap_err();
    assert!(not_utf8.message.contains("not UTF-8"), "{not_utf8:?}");
}

#[test]
fn an_end_token_that_was_to_be_ignored_is_not_supported() {
    let ignoring = GenerationSpec {
        ignore_eos: true,
        ..spec()
    };
    let wrong = ended(&[token("a", 7), finish("stop")], &ignoring).unwrap_err();
    assert_eq!(wrong.class, FailureClass::Unsupported);
    assert!(ended(&[token("a", 7), finish("length")], &ignoring).is_ok());
}

#[test]
fn stop_texts_and_end_tokens_are_told_apart_where_the_server_does() {
    let stopping = GenerationSpec {
        stop: vec!["x".into()],
        ..spec()
    };
    let reason = |said: Value, spec: &GenerationSpec| {
        let mut last = finish("stop");
        last["choices"][0]["stop_reason"] = said;
        ended(&[piece("a"), last], spec).unwrap().0.finish_reason
    };
    assert_eq!(reason(json!("x"), &stopping), FinishReason::Stop);
    assert_eq!(reason(json!(2), &stopping), FinishReason::Eos);
    assert_eq!(reason(Value::Null, &stopping), FinishReason::Stop);
    assert_eq!(reason(Value::Null, &spec()), FinishReason::Eos);
}

#[test]
fn thoughts_and_caches_are_noted() {
    let mut cached = usage(4, 2);
    cached["usage"]["prompt_tokens_details"] = json!({"cached_tokens": 3});
    let thought = json!({"choices": [{"delta": {"reasoning_content": "hm "}}]});
    let (made, notes) = ended(&[thought, piece("a"), finish("stop"), cached], &spec()).unwrap();
    assert_eq!(made.text, "hm a");
    assert!(
        notes[0].contains("reasoning") && notes[1].contains("3 of the tokens"),
        "{notes:?}"
    );
}

#[test]
fn tokens_with_holes_among_them_are_known_by_their_text() {
    // llama.cpp: three tokens were made of the one character and one was told. vLLM: a mark after the reasoning was not.
    let mut thought = token("a", 7);
    thought["choices"][0]["delta"] = json!({"reasoning": "so"});
    for chunks in [
        vec![completes("😀", 7), finish("length"), usage(4, 3)],
        // A stop text hides tokens too: the text tells of the hole.
        vec![completes("😀", 7), finish("stop_sequence"), usage(4, 3)],
        // The limit cut a character off, of which nothing was told.
        vec![token("a", 7), finish("length"), usage(4, 3)],
        vec![thought, finish("stop"), usage(4, 3)],
    ] {
        let (made, notes) = ended(&chunks, &spec()).unwrap();
        assert_eq!(made.output_tokens, Some(3), "{chunks:?}");
        assert_eq!(
            (made.output_ids.len(), made.top2_gaps.len(), made.top5.len()),
            (0, 0, 0)
        );
        assert_eq!((made.token_stamps_s.len(), made.text_offsets.len()), (1, 1));
        assert!(
            notes.iter().any(|note| note.contains("of 3 tokens the server told 1")),
            "{notes:?}"
        );
    }
    // A token whose bytes are more than its text, as vLLM writes numbers: nothing is missing.
    let mut numbered = token("é", 7);
    numbered["choices"][0]["logprobs"]["content"][0]["bytes"] = json!(b"token_id:7");
    numbered["choices"][0]["logprobs"]["content"][0]["top_logprobs"] = json!([]);
    let (made, notes) = ended(&[numbered, finish("stop"), usage(4, 2)], &spec()).unwrap();
    assert_eq!((made.output_ids.as_slice(), notes.len()), ([7].as_slice(), 0));
}

#[test]
fn an_empty_reason_is_none_yet() {
    let mut first = piece("a");
    first["choices"][0]["finish_reason"] = json!("");
    let (made, _) = ended(&[first, piece("b"), finish("stop")], &spec()).unwrap();
    assert_eq!((made.text.as_str(), made.finish_reason), ("ab", FinishReason::Eos));
}

#[test]
fn an_error_is_one_in_whatever_form() {
    for error in [
        json!({"error": {"message": "out of memory", "code": 500}}),
        json!({"object": "error", "message": "out of memory", "type": "InternalServerError", "code": 500}),
        json!({"error": "out of memory", "error_type": "generation"}),
    ] {
        let words = why(&[piece("a"), error]);
        assert!(words.contains("gave up") && words.contains("out of memory"), "{words}");
    }
}

#[test]
fn what_matched_tells_an_end_token_from_a_stop_text() {
    let with_stop = GenerationSpec {
        stop: vec!["x".into()],
        ..spec()
    };
    for (said, expected) in [(json!(2), FinishReason::Eos), (json!("x"), FinishReason::Stop)] {
        let mut last = finish("stop");
        last["choices"][0]["matched_stop"] = said;
        let (made, _) = ended(&[piece("a"), last], &with_stop).unwrap();
        assert_eq!(made.finish_reason, expected);
    }
}
