//! What a report says of a worker that missed its deadline, with names that want to be markup.

mod sample;

use placebench_core::evidence::{
    Evidence, GpuMoment, GpuRecovery, LanguageStacks, Recovery, StackFrame, ThreadEvidence,
};
use placebench_core::outcome::OutcomeKind;
use placebench_core::record::RunRecord;
use placebench_core::units::Bytes;
use placebench_report::format::{html, markdown};
use placebench_report::view::ReportView;

fn frame(function: &str, file: Option<&str>) -> StackFrame {
    StackFrame {
        address: 0x7f00_0000_1234,
        module: Some("/opt/worker".into()),
        module_address: Some(0x1234),
        function: Some(function.into()),
        file: file.map(str::to_owned),
        line: file.map(|_| 17),
        inlined: false,
    }
}

fn evidence() -> Evidence {
    Evidence {
        judged_after_s: 0.051,
        taken_after_s: 0.063,
        threads: vec![
            ThreadEvidence {
                pid: 10,
                tid: 10,
                name: "worker".into(),
                state: Some('S'),
                syscall: Some("futex".into()),
                frames: vec![
                    frame("std::thread::park", Some("/rustc/park.rs")),
                    frame("engine::copy::<&dyn Any>", Some("src/copy.rs")),
                ],
                ..ThreadEvidence::default()
            },
            ThreadEvidence {
                pid: 10,
                tid: 11,
                name: "<b>\u{202e}evil".into(),
                state: Some('D'),
                wchan: Some("uvm_wait".into()),
                stack_note: Some("it did not stop within 50 ms".into()),
                ..ThreadEvidence::default()
            },
        ],
        threads_left_out: 3,
        rss_bytes: Some(Bytes(48 << 20)),
        gpus: vec![GpuMoment {
            index: 0,
            name: "Card".into(),
            age_s: 0.04,
            memory_used_bytes: Some(Bytes(6 << 30)),
            utilisation_percent: Some(100),
            power_w: Some(47.0),
        }],
        stacks: vec![LanguageStacks {
            rank: Some(1),
            text: "Current thread 0x1 (most recent call first):\n  File \"/a/w.py\", line 3 in <script>\u{202e}".into(),
        }],
        ..Evidence::default()
    }
}

/// The sample, with what was seen of every worker that stalled.
fn seen(recovery: Option<&Recovery>) -> RunRecord {
    let mut record = sample::sample();
    for attempt in &mut record.attempts {
        if attempt.outcome.kind() == OutcomeKind::Stalled {
            attempt.evidence = Some(evidence());
            attempt.recovery = recovery.cloned();
        }
    }
    record
}

#[test]
fn the_page_shows_the_stacks() {
    let page = html::render(&ReportView::new(&seen(None))).unwrap();
    for words in [
        "worker: sleeping in futex, process 10",
        "engine::copy::&lt;&amp;dyn Any&gt;",
        "src&#x2f;copy.rs:17",
        "&lt;b&gt;⟨U+202E⟩evil: in an uninterruptible wait in the kernel&#x27;s uvm_wait, thread 11 of process 10",
        "it did not stop within 50 ms",
        "3 more threads not looked at",
        "6.00 GiB in use, 100 % busy, 47 W, as told 40.0 ms before",
        "51.0 ms after the deadline",
        "<summary>Stacks as rank 1 itself wrote them</summary>",
        "line 3 in &lt;script&gt;⟨U+202E⟩</pre>",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains("<b>\u{202e}") && !page.contains("Not back"));
    let first = page.find("worker: sleeping in futex").unwrap();
    assert!(
        page[..first].ends_with("<details open><summary>"),
        "the most telling stack is open"
    );
    if let Some(folder) = std::env::var_os("EVIDENCE_PAGE") {
        std::fs::write(folder, page).unwrap();
    }
}

#[test]
fn markdown_says_it_in_a_line() {
    let text = markdown::render(&ReportView::new(&seen(None)));
    let line = text
        .lines()
        .find(|line| line.starts_with("regressions/broken-hop/story/auto: "))
        .unwrap();
    assert!(
        line.contains("5 threads seen 63.0 ms after the deadline; thread \\`worker\\` sleeping in futex"),
        "{line}"
    );
    assert!(line.contains("engine::copy"), "{line}");
}

#[test]
fn what_did_not_come_back_is_said() {
    let recovery = Recovery {
        after_s: 5.0,
        processes_left: 1,
        rss_left_bytes: Some(Bytes(1 << 20)),
        gpus: vec![GpuRecovery {
            index: 1,
            name: "Card".into(),
            before_bytes: Some(Bytes(1 << 30)),
            after_bytes: Some(Bytes(6 << 30)),
            ..GpuRecovery::default()
        }],
    };
    let view = ReportView::new(&seen(Some(&recovery)));
    let words =
        "Not back 5.00 s after the end: 6.00 GiB in use on GPU 1, Card (1.00 GiB before) and 1 process with 1.00 MiB.";
    assert!(html::render(&view).unwrap().contains(words));
    assert!(markdown::render(&view).contains("Not back 5.00 s"));
}

#[test]
fn without_evidence_nothing_is_said() {
    let record = sample::sample();
    assert!(
        !html::render(&ReportView::new(&record))
            .unwrap()
            .contains("What it was doing")
    );
}
