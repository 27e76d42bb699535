//! Tables of cases (see [`made`]) and the answer that is right for them.

use super::Blame::{Injected, Library, Machine, Model, Nothing, Placement, Undecided};
use super::testing::{Made, answer_of, made};
use super::*;

fn of(lines: &[&str]) -> Answer {
    let made: Vec<Made> = lines.iter().map(|line| made(line)).collect();
    answer_of(&made).unwrap_or_else(|| panic!("no answer to {lines:?}"))
}

/// The cases, the blame, what the sentence says, and what the next run is (`-` for none).
type Row = (&'static [&'static str], Blame, &'static str, &'static str);

fn check(rows: &[Row]) {
    for (lines, blame, says, next) in rows {
        let answer = of(lines);
        assert_eq!(answer.blame, *blame, "{lines:#?}\n{answer:#?}");
        assert!(answer.sentence.contains(says), "{says:?} of {lines:#?}\n{answer:#?}");
        match *next {
            "-" => assert_eq!(answer.next, None, "{lines:#?}\n{answer:#?}"),
            next => {
                let told = answer.next.as_deref().unwrap_or_default();
                assert!(told.contains(next), "{next:?} of {lines:#?}\n{answer:#?}");
            }
        }
    }
}

const PLACEMENTS: &[Row] = &[
    // The incident, as far as one engine tells.
    (
        &[
            "transformers one:cuda:0 -> ok",
            "transformers auto:cuda:0+cuda:1 -> stall",
        ],
        Placement,
        "or the link between cuda:0 and cuda:1",
        "transfer = [\"direct\", \"host\"]",
    ),
    // The planner's answer was never told: it is taken to have spread the model.
    (
        &["transformers one:cuda:0 -> ok", "transformers auto:? -> stall"],
        Placement,
        "where the model was put",
        "another engine",
    ),
    // Through the host as well: not the link.
    (
        &[
            "transformers one:cuda:0 -> ok",
            "transformers two:cuda:0+cuda:1 -> garbage",
            "transformers two:cuda:0+cuda:1 host -> garbage",
        ],
        Placement,
        "or how transformers handles it",
        "another engine",
    ),
    // No two pieces of hardware, so no link.
    (
        &["transformers one:cpu -> ok", "transformers two:cpu+disk -> refused"],
        Placement,
        "or how transformers handles it",
        "engines = [\"transformers\", \"candle\"]",
    ),
    (
        &[
            "transformers one:cpu -> ok",
            "transformers two:cpu+disk -> refused",
            "candle one:cpu -> ok",
            "candle two:cpu+disk -> refused",
        ],
        Placement,
        "under another engine as well",
        "-",
    ),
    // A stall that was expected is the incident's answer all the same.
    (
        &[
            "transformers one:cuda:0 -> ok",
            "transformers auto:cuda:0+cuda:1 -> expected stall",
        ],
        Placement,
        "stalls in decode",
        "transfer",
    ),
    // Another spread is right, none on one device was tried.
    (
        &[
            "transformers two:cuda:0+cuda:1 -> ok",
            "transformers auto:cuda:0+cuda:1 -> diverged",
        ],
        Placement,
        "is right",
        "transfer",
    ),
    // It does not fit.
    (
        &["transformers one:cuda:0 -> oom", "transformers two:cuda:0+cuda:1 -> ok"],
        Placement,
        "cuda:0 has not the memory",
        "-",
    ),
    (
        &["transformers one:cpu -> ok", "transformers auto:cuda:0+cuda:1 -> oom"],
        Placement,
        "needs more memory under transformers than its devices have",
        "-",
    ),
    // The distributed configuration is right where the map is not, and the other way round.
    (
        &["transformers ranks -> ok", "transformers auto:cuda:0+cuda:1 -> stall"],
        Placement,
        "`ranks[transformers]` is right",
        "transfer",
    ),
    (
        &["transformers one:cpu -> ok", "transformers ranks -> stall"],
        Placement,
        "the distributed configuration",
        "another backend",
    ),
    (
        &["openai stated:one -> ok", "openai stated:tp2 -> garbage"],
        Placement,
        "how the server was placed",
        "another server",
    ),
    // The run that would decide is there, and was not run.
    (
        &[
            "transformers one:cuda:0 -> ok",
            "transformers two:cuda:0+cuda:1 -> stall",
            "transformers two:cuda:0+cuda:1 host -> skipped",
        ],
        Placement,
        "or the link",
        "run `two:cuda:0+cuda:1,host[transformers]` of s.toml, of which nothing is known (no GPU here); first: plug one in",
    ),
    // A script that moves the model: right where there is nothing to move.
    (
        &[
            "transformers one:cpu to=cpu -> ok",
            "transformers two:cpu+disk to=cpu -> refused",
        ],
        Placement,
        "with model.to(cpu): `transformers.move_to` (model.to(cpu) after dispatch), where the model was put, or how",
        "without `transformers.move_to`",
    ),
    // An engine without scripts is right there, which is told and decides nothing alone.
    (
        &[
            "transformers one:cpu to=cpu -> ok",
            "transformers two:cpu+disk to=cpu -> refused",
            "candle two:cpu+disk -> ok",
        ],
        Placement,
        "`transformers.move_to`",
        "without `transformers.move_to`",
    ),
    // A map that one stack did not keep, and nobody else was asked for.
    (
        &[
            "transformers one:cpu -> ok",
            "transformers two:cpu+disk unkept=cpu -> refused",
        ],
        Placement,
        "`two:cpu+disk,unkept=cpu[transformers]` fails (it failed), although transformers did not keep the map (b on cpu instead of disk)",
        "another engine",
    ),
    (
        &[
            "transformers one:cpu -> ok",
            "transformers auto:cuda:0+cuda:1 -> at times",
        ],
        Undecided,
        "at times only",
        "repetitions = 20",
    ),
];

#[test]
fn where_the_model_was_put() {
    check(PLACEMENTS);
}

const LIBRARIES: &[Row] = &[
    (
        &[
            "transformers@incident two:cpu+disk -> refused",
            "transformers@newest two:cpu+disk -> ok",
            "transformers@incident one:cpu -> ok",
            "transformers@newest one:cpu -> ok",
        ],
        Library,
        "with incident (accelerate 1.4.0 and torch 2.6.0) and is right with newest (accelerate 1.15.0 and torch 2.15.0+cpu): it \
             was mended in between",
        "-",
    ),
    (
        &[
            "transformers@newest one:cpu -> garbage",
            "transformers@incident one:cpu -> ok",
        ],
        Library,
        "it was broken in between",
        "-",
    ),
    // Another engine does the very same right.
    (
        &[
            "transformers one:cuda:0 -> ok",
            "transformers two:cuda:0+cuda:1 -> stall",
            "candle two:cuda:0+cuda:1 -> ok",
        ],
        Library,
        "candle is right with the very placement",
        "environment = [\"incident\", \"newest\"]",
    ),
    // Even where the host helps: the other engine copies directly.
    (
        &[
            "transformers two:cuda:0+cuda:1 -> stall",
            "transformers two:cuda:0+cuda:1 host -> ok",
            "candle two:cuda:0+cuda:1 -> ok",
        ],
        Library,
        "on the same devices",
        "environment",
    ),
    (
        &["candle one:cpu -> ok", "transformers one:cpu -> garbage"],
        Library,
        "under transformers",
        "environment",
    ),
    // Two texts, and nobody to say which is right.
    (
        &["candle one:cpu -> unchecked", "transformers one:cpu -> engines"],
        Library,
        "which of them is wrong no case shows",
        "approved",
    ),
    // All its placements, none of which the other has.
    (
        &[
            "openai stated:tp1 -> garbage",
            "openai stated:tp2 -> garbage",
            "candle one:cpu -> ok",
        ],
        Library,
        "under all 2 placements",
        "-",
    ),
    // One placement alone does not tell the two apart.
    (
        &["openai stated:tp2 -> garbage", "candle one:cpu -> ok"],
        Undecided,
        "the placement, the library or what only it uses",
        "give openai the placement of `one:cpu[candle]`",
    ),
    // Nor does a script that only one engine runs.
    (
        &["transformers one:cpu to=meta -> refused", "candle one:cpu -> ok"],
        Undecided,
        "everything under transformers goes wrong where a script sets `transformers.move_to` (model.to(meta) after dispatch)",
        "run `one:cpu,to=meta[transformers]` without `transformers.move_to`",
    ),
    // The same map was asked of both, and only one did as asked.
    (
        &[
            "transformers two:cpu+disk unkept=cpu -> refused",
            "candle two:cpu+disk -> ok",
        ],
        Library,
        "goes wrong under transformers, which did not keep the map (b on cpu instead of disk), and is right under candle, which did (`two:cpu+disk[candle]`)",
        "environment",
    ),
    (
        &[
            "transformers@incident two:cpu+disk unkept=cpu -> refused",
            "transformers@newest two:cpu+disk -> ok",
        ],
        Library,
        "which did not keep the map",
        "-",
    ),
    // What is right because it did something else says nothing about the map that goes wrong.
    (
        &[
            "candle two:cpu+disk -> refused",
            "transformers two:cpu+disk unkept=cpu -> ok",
        ],
        Undecided,
        "the only kind of placement candle was given",
        "run the prompt on one device",
    ),
    // Where a planner was asked, what was asked is not the same.
    (
        &[
            "transformers auto:cpu+disk unkept=cpu -> refused",
            "candle auto:cpu+disk -> ok",
        ],
        Undecided,
        "the placement, the library",
        "give transformers the placement",
    ),
    // A copy between slices of one processor is the engine's own.
    (
        &[
            "transformers two:cpu+disk -> diverged",
            "transformers two:cpu+disk host -> ok",
        ],
        Library,
        "no link takes part",
        "-",
    ),
];

#[test]
fn the_library_and_its_version() {
    check(LIBRARIES);
}

const MACHINES: &[Row] = &[
    // The direct copy.
    (
        &[
            "transformers one:cuda:0 -> ok",
            "transformers two:cuda:0+cuda:1 -> diverged",
            "transformers two:cuda:0+cuda:1 host -> ok",
        ],
        Machine,
        "through the host it is right",
        "-",
    ),
    // Every engine on one pair.
    (
        &[
            "transformers one:cuda:0 -> ok",
            "transformers two:cuda:0+cuda:1 -> stall",
            "candle one:cuda:0 -> ok",
            "candle two:cuda:0+cuda:1 -> stall",
        ],
        Machine,
        "the link, a device or its driver",
        "-",
    ),
    // The same split on another pair.
    (
        &[
            "transformers two:cuda:0+cuda:1 -> stall",
            "transformers two:cuda:2+cuda:3 -> ok",
        ],
        Machine,
        "the same split is right on cuda:2 and cuda:3",
        "-",
    ),
    // One card: its device, or how the library uses it.
    (
        &["transformers one:cuda:0 -> ok", "transformers one:cuda:1 -> garbage"],
        Undecided,
        "the device, its driver, or how transformers uses it",
        "another engine",
    ),
    (
        &[
            "transformers one:cuda:0 -> ok",
            "transformers one:cuda:1 -> garbage",
            "candle one:cuda:0 -> ok",
            "candle one:cuda:1 -> garbage",
        ],
        Machine,
        "the device or its driver",
        "-",
    ),
];

#[test]
fn the_machine() {
    check(MACHINES);
}

const OTHERS: &[Row] = &[
    (
        &[
            "transformers one:cpu -> garbage",
            "transformers two:cuda:0+cuda:1 -> garbage",
            "candle one:cpu -> garbage",
        ],
        Model,
        "every case goes wrong",
        "-",
    ),
    (
        &["candle one:cpu f16 -> garbage", "candle one:cpu -> ok"],
        Model,
        "numbers of type f16 and is right with numbers as they are stored",
        "-",
    ),
    // What the script does, and nothing else, differs.
    (
        &[
            "transformers two:cpu+disk to=cpu -> refused",
            "transformers two:cpu+disk -> ok",
        ],
        Model,
        "with `transformers.move_to` (model.to(cpu) after dispatch), and without it the same placement is right",
        "-",
    ),
    (
        &["transformers one:cpu -> garbage"],
        Undecided,
        "no case that is right",
        "another engine",
    ),
    (
        &["transformers auto:cuda:0+cuda:1 -> stall"],
        Undecided,
        "no case that is right",
        "device_map = \"cpu\"",
    ),
    (
        &["openai stated:tp2 -> stall"],
        Undecided,
        "no case that is right",
        "another server",
    ),
    (
        &[
            "candle two:sim:0+sim:1 fault -> expected stall",
            "candle one:sim:0 -> ok",
        ],
        Injected,
        "no case with it is right",
        "-",
    ),
    (
        &[
            "candle two:sim:0+sim:1 fault -> expected stall",
            "candle two:sim:0+sim:1 -> ok",
        ],
        Injected,
        "is injected into",
        "-",
    ),
    // A fault that every case has, and that strikes only some: it stands for the real thing, and is named.
    (
        &[
            "candle one:sim:0 fault -> ok",
            "candle two:sim:0+sim:1 fault -> expected stall",
            "candle two:sim:0+sim:1 fault host -> ok",
        ],
        Machine,
        "is injected into",
        "-",
    ),
    (
        &[
            "candle one:cpu -> ok",
            "candle two:cpu+disk -> slow",
            "transformers one:cpu -> near tie",
        ],
        Nothing,
        "3 cases are right, under candle and transformers",
        "-",
    ),
    (
        &["candle one:cpu -> ok", "transformers one:cpu -> skipped"],
        Nothing,
        "one case is right, under candle; of one more nothing is known",
        "run `one:cpu[transformers]`",
    ),
    (
        &["candle one:cpu -> skipped", "transformers one:cpu -> unsupported"],
        Undecided,
        "no case was run to an end",
        "plug one in",
    ),
    (
        &["candle one:cpu -> timeout", "transformers one:cpu -> ok"],
        Nothing,
        "one case is right, under transformers; of one more",
        "getting on",
    ),
    // Two causes are not made one.
    (
        &[
            "transformers@incident one:cpu -> ok",
            "transformers@newest one:cpu -> garbage",
            "transformers@incident auto:cuda:0+cuda:1 -> oom",
        ],
        Undecided,
        "more than one thing goes wrong",
        "-",
    ),
    (
        &[
            "candle one:sim:0 -> ok",
            "transformers one:cpu -> ok",
            "transformers auto:cpu+disk -> stall",
        ],
        Placement,
        "where the model was put",
        "engines",
    ),
    // A logical device of one engine is none of another, whatever it is called.
    (
        &[
            "candle auto:sim:0+sim:1 -> ok",
            "transformers auto:cpu+disk -> stall",
            "transformers one:cpu -> stall",
        ],
        Library,
        "under all 2 placements",
        "environment",
    ),
];

#[test]
fn the_model_the_fault_and_nothing() {
    check(OTHERS);
}

#[test]
fn an_answer_names_the_cases_it_rests_on() {
    let answer = of(&[
        "transformers one:cuda:0 -> ok",
        "transformers two:cuda:0+cuda:1 -> stall",
        "transformers two:cuda:0+cuda:1 host -> ok",
    ]);
    let told: Vec<String> = (answer.because.iter())
        .map(|because| format!("{}: {}", because.sentence, because.cases.join(", ")))
        .collect();
    assert_eq!(
        told,
        [
            "stalls in decode: s/p/two:cuda:0+cuda:1[transformers]",
            "the same map is right where activations go through host memory: s/p/two:cuda:0+cuda:1,host[transformers]",
            "right: s/p/one:cuda:0[transformers], s/p/two:cuda:0+cuda:1,host[transformers]",
        ]
    );
}
