//! The real server of llama.cpp with a real model, where both are on this machine.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use placebench_core::outcome::Outcome;
use placebench_core::protocol::Generation;
use placebench_core::record::Attempt;

use crate::env::TestEnv;

/// `The` and `L`, between which the model is undecided at its first token.
const UNDECIDED: [u32; 2] = [504, 60];

/// Program and model; says what is missing.
fn there() -> Option<(PathBuf, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = Path::new(env!("CARGO_BIN_EXE_placebench")).ancestors().nth(2).unwrap();
    let program = built.join("llama-server/llama-server");
    let model = root.join("scenarios/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
    for (path, command) in [(&program, "ci/llama-server.sh"), (&model, "ci/fetch-models.sh")] {
        if path.canonicalize().is_err() {
            drop(writeln!(
                std::io::stderr(),
                "skipped: {} is not here (bash {command})",
                path.display()
            ));
            return None;
        }
    }
    Some((program.canonicalize().unwrap(), model.canonicalize().unwrap()))
}

fn scenario(program: &Path, model: &Path) -> String {
    format!(
        r#"schema_version = 1
engine = "openai"
[model]
path = {model:?}
[server]
url = "http://127.0.0.1:{{port}}/v1"
command = [{program:?}, "--model", "{{model}}", "--host", "127.0.0.1", "--port", "{{port}}", "--ctx-size", "512", "--parallel", "2"]
[[prompt]]
name = "story"
text = "Once upon a time"
[[prompt]]
name = "capital"
messages = [{{ role = "user", content = "What is the capital of France?" }}]
[[prompt]]
name = "tokens"
input_ids = [6403, 1980, 253, 655]
[generation]
max_new_tokens = 8
[placement.cpu]
stated = "on the processor"
server = {{ args = ["--threads", "1"] }}
[measure]
warmup = 0
repetitions = 2
isolation = "shared"
[timeout]
load = "5m"
first_token = "5m"
token = "5m"
total = "20m"
"#
    )
}

fn of<'a>(attempts: &'a [Attempt], prompt: &str) -> &'a Attempt {
    let case = format!("x/{prompt}/cpu");
    attempts.iter().find(|attempt| attempt.case == case).unwrap()
}

#[test]
fn the_real_server_is_asked_and_everything_it_tells_is_on_record() {
    let Some((program, model)) = there() else { return };
    let env = TestEnv::new();
    env.write("suite/x.toml", &scenario(&program, &model));
    let ran = env.run(&["run", "suite", "--allow-exec"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let attempts = env.attempts();
    for attempt in &attempts {
        assert_eq!(attempt.outcome, Outcome::Completed);
        assert!(
            attempt.devices[0].name.starts_with("llama.cpp b"),
            "{:?}",
            attempt.devices
        );
        // A prompt from the server's cache would be noted.
        assert_eq!(attempt.planned.as_ref().unwrap().warnings, Vec::<String>::new());
        let [first, second] = attempt.generations.as_slice() else {
            panic!("{:?}", attempt.generations.len())
        };
        is_whole(first);
        assert_eq!((&first.output_ids, &first.text), (&second.output_ids, &second.text));
    }
    let (story, tokens) = (
        &of(&attempts, "story").generations[0],
        &of(&attempts, "tokens").generations[0],
    );
    assert!(story.text.starts_with(", the city of"), "{}", story.text);
    assert_eq!(story.output_ids, tokens.output_ids, "the text is tokenised as it is");
    assert_eq!((story.input_tokens, tokens.input_tokens), (Some(4), None));
    let capital = &of(&attempts, "capital").generations[0];
    assert_eq!(capital.input_tokens, Some(37), "the model's own template");
    // llama.cpp multiplies with activations of 8 bits, which decides what is nearly a tie in 32.
    let likeliest: Vec<u32> = capital.top5[0].iter().map(|candidate| candidate.id).collect();
    assert!(UNDECIDED.iter().all(|id| likeliest.contains(id)), "{likeliest:?}");
    assert!(capital.top2_gaps[0] < 0.5, "{:?}", capital.top2_gaps);
}

fn is_whole(made: &Generation) {
    let tokens = made.output_ids.len();
    assert!((1..=8).contains(&tokens), "{made:?}");
    for length in [
        made.token_stamps_s.len(),
        made.text_offsets.len(),
        made.top2_gaps.len(),
        made.top5.len(),
    ] {
        assert_eq!(length, tokens, "{made:?}");
    }
    assert_eq!(made.text_offsets.last().map(|end| *end as usize), Some(made.text.len()));
    for (id, top5) in made.output_ids.iter().zip(&made.top5) {
        assert_eq!((top5.len(), top5[0].id), (5, *id), "greedy takes the likeliest");
    }
}
