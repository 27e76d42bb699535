//! Is it the placement, the library, or the machine? Said at the top, at the prompt, in Markdown and in the summary of a step; and
//! what a page says of engines beside candle.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod sample;

use placebench_core::judge::answer::Blame;
use placebench_report::format::{csv, html, markdown};
use placebench_report::view::{CaseView, PromptView, ReportView};

fn prompt<'v>(view: &'v ReportView, scenario: &str) -> &'v PromptView {
    let mut prompts = view.scenarios.iter().flat_map(|scenario| &scenario.prompts);
    prompts.find(|prompt| prompt.scenario == scenario).unwrap()
}

fn case<'v>(view: &'v ReportView, start: &str) -> &'v CaseView {
    view.cases().find(|case| case.case.contains(start)).unwrap()
}

#[test]
fn the_library_and_the_ranks_are_told_apart() {
    let record = sample::engines::sample();
    let blamed: Vec<(&str, Blame)> = (record.verdict.answers.iter())
        .map(|answer| (answer.scenario.as_str(), answer.blame))
        .collect();
    assert_eq!(
        blamed,
        [
            (sample::engines::INCIDENT, Blame::Library),
            (sample::engines::SEVERAL, Blame::Placement)
        ]
    );
    let view = ReportView::new(&record);
    let said: Vec<String> = view.blame.iter().map(|answer| answer.words()).collect();
    insta::assert_snapshot!(said.join("\n"));
    let here = prompt(&view, sample::engines::INCIDENT).answer.as_ref().unwrap();
    assert!(
        here.is_leading && here.because.iter().all(|reason| !reason.cases.is_empty()),
        "{here:#?}"
    );
}

#[test]
fn every_format_gives_the_answer() {
    let record = sample::engines::sample();
    let view = ReportView::new(&record);
    let page = html::render(&view).unwrap();
    let header = &page[..page.find("<main").unwrap()];
    assert!(header.contains("Is it the placement, the library, or the machine?"));
    assert!(header.contains("<b>The library:</b>"));
    // The cases an answer rests on are links that lead somewhere.
    let answer = prompt(&view, sample::engines::INCIDENT).answer.as_ref().unwrap();
    for link in answer.because.iter().flat_map(|reason| &reason.cases) {
        assert!(
            page.contains(&format!("<a href=\"#{}\">", link.anchor)),
            "{}",
            link.anchor
        );
        assert!(page.contains(&format!("id=\"{}\"", link.anchor)), "{}", link.anchor);
    }
    let text = markdown::render(&view);
    assert!(
        text.contains("- **The library**, incident/auto-hangs/story: "),
        "{text}"
    );
    assert_eq!(text.matches("**The library**").count(), 1, "once is enough");
}

#[test]
fn a_run_without_such_a_question_says_nothing_of_it() {
    let record = sample::sample();
    let view = ReportView::new(&record);
    assert!(
        view.blame.is_empty()
            && view
                .scenarios
                .iter()
                .all(|scenario| scenario.prompts.iter().all(|prompt| prompt.answer.is_none()))
    );
    assert!(!html::render(&view).unwrap().contains("Is it the placement"));
}

#[test]
fn what_is_stated_is_no_map_and_every_rank_has_a_lane() {
    let record = sample::engines::sample();
    let view = ReportView::new(&record);
    let stated = &case(&view, "tp2").placed;
    assert_eq!((stated.stages.len(), stated.devices.len()), (0, 0));
    assert_eq!(
        stated.missing,
        "as stated and not read back: tensor parallel over 2 GPUs"
    );
    let ranks = &case(&view, "ranks").placed;
    let lanes: Vec<&str> = ranks.devices.iter().map(|lane| lane.device.as_str()).collect();
    assert_eq!(lanes, ["cuda:0 (rank 0)", "cuda:1 (rank 1)"]);
    assert_eq!((ranks.modules.len(), ranks.hops.len()), (11, 0));
    assert!(
        case(&view, "ranks").sentence.contains("rank 1"),
        "{}",
        case(&view, "ranks").sentence
    );
}

#[test]
fn a_page_names_the_stack_and_no_secret() {
    let record = sample::engines::sample();
    let view = ReportView::new(&record);
    let page = html::render(&view).unwrap().replace("&#x2f;", "/");
    assert!(!page.contains("hunter2"), "credentials of an address");
    for told in [
        "http://127.0.0.1:8000/v1, model tiny, started with",
        "environment newest",
        "accelerate 1.4.0",
        "VLLM_API_KEY",
        "bash ci/python-env.sh incident",
    ] {
        assert!(page.contains(told), "{told}");
    }
    let again = |start: &str| case(&view, start).narrative.reproduce.commands[0].line.clone();
    assert!(
        again("split[engine=transformers,environment=incident]")
            .contains("PLACEBENCH_PYTHON_ENVS='/opt/python environments' placebench run")
    );
    assert!(!again("split[engine=candle]").contains("PLACEBENCH_PYTHON_ENVS"));
    assert!(again("tp2").contains("--allow-exec"));
}

#[test]
fn nobody_is_called_fastest_across_engines() {
    let record = sample::engines::sample();
    let view = ReportView::new(&record);
    for prompt in view.scenarios.iter().flat_map(|scenario| &scenario.prompts) {
        let order = &prompt.compared.speeds().order;
        let engines: Vec<&str> = order
            .iter()
            .map(|(row, _)| {
                record
                    .info
                    .cases
                    .iter()
                    .find(|case| case.case == prompt.cases[*row].case)
                    .unwrap()
                    .engine
                    .as_str()
            })
            .collect();
        let held = prompt.compared.speeds().order.iter().any(|(_, ratio)| ratio.is_some());
        assert!(
            !held || engines.windows(2).all(|pair| pair[0] == pair[1]),
            "{engines:?}"
        );
    }
    let table = csv::render(&record).unwrap();
    assert!(String::from_utf8_lossy(&table).contains("transformers"));
}

/// The files of the run, for looking at the page: `WRITE_ENGINES=FOLDER cargo test -p placebench-report --test answer`.
#[test]
fn the_run_of_engines_reads_back() {
    let record = sample::engines::sample();
    let stored = serde_json::to_string(&record.verdict).unwrap();
    let read: placebench_core::record::RunVerdict = serde_json::from_str(&stored).unwrap();
    assert_eq!(read, record.verdict);
    // A verdict of before has none.
    let before = serde_json::to_string(&sample::sample().verdict).unwrap();
    assert!(!before.contains("\"answers\""));
    if let Some(folder) = std::env::var_os("WRITE_ENGINES").map(std::path::PathBuf::from) {
        let lines: Vec<String> = record
            .attempts
            .iter()
            .map(|attempt| serde_json::to_string(attempt).unwrap())
            .collect();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("run.json"), serde_json::to_string(&record.info).unwrap()).unwrap();
        std::fs::write(folder.join("attempts.jsonl"), lines.join("\n")).unwrap();
        std::fs::write(folder.join("verdict.json"), stored).unwrap();
    }
}
