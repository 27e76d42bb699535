//! Each piece of advice: once where it is due, once where it is not.

use super::advice::{Advice, DeviceIdentity, Load, Severity, Situation, UNEVEN_RATIO, advise};
use super::footprint_workload::Workload;
use super::shape_decoder::{Decoder, Tie};
use super::shape_testing::{decoder, tree, workload};
use crate::module_tree::ModuleTree;
use crate::units::Bytes;

/// Two layers; device names say what they are.
struct Setting {
    tree: ModuleTree,
    decoder: Decoder,
    map: Vec<(String, String)>,
    workload: Workload,
    devices: Vec<(String, Option<Bytes>)>,
    named: Vec<String>,
    input: Option<String>,
    hardware: Vec<DeviceIdentity<String>>,
}

/// Two devices with 12 kB each, of which neither could hold everything.
fn setting(map: &[(&str, &str)]) -> Setting {
    let budget = |name: &str| (name.to_owned(), Some(Bytes(12_000)));
    Setting {
        tree: tree(2, false),
        decoder: decoder(2, false),
        map: map
            .iter()
            .map(|(key, device)| ((*key).to_owned(), (*device).to_owned()))
            .collect(),
        workload: workload(),
        devices: vec![budget("x:0"), budget("x:1")],
        named: Vec::new(),
        input: None,
        hardware: Vec::new(),
    }
}

const HALVES: [(&str, &str); 3] = [("", "x:1"), ("model.embed_tokens", "x:0"), ("model.layers.0", "x:0")];

impl Setting {
    fn advice(&self) -> Vec<Advice<String>> {
        advise(&Situation {
            tree: &self.tree,
            decoder: &self.decoder,
            device_map: &self.map,
            workload: &self.workload,
            devices: &self.devices,
            named: &self.named,
            input: self.input.as_ref(),
            hardware: &self.hardware,
            uneven_ratio: UNEVEN_RATIO,
        })
    }

    /// Sentences about one thing.
    fn about(&self, is_wanted: fn(&Advice<String>) -> bool) -> Vec<String> {
        self.advice()
            .iter()
            .filter(|advice| is_wanted(advice))
            .map(ToString::to_string)
            .collect()
    }
}

#[test]
fn a_good_placement_is_only_told_how_long_it_lasts() {
    let advice = setting(&HALVES).advice();
    let kinds: Vec<Severity> = advice.iter().map(Advice::severity).collect();
    assert_eq!(kinds, [Severity::Note; 2], "{advice:?}");
    assert!(
        advice
            .iter()
            .all(|advice| matches!(advice, Advice::RunsOut { .. } | Advice::HeadApart { .. }))
    );
}

#[test]
fn one_device_that_would_do_is_found_with_everything_counted() {
    let about = |setting: &Setting| setting.about(|advice| matches!(advice, Advice::OneWouldDo { .. }));
    let mut roomy = setting(&HALVES);
    // 7968 weights, 1280 cache, 3840 working set, 800 logits.
    roomy.devices[1].1 = Some(Bytes(13_888));
    let sentence = "x:1 alone would do (13.6 KiB of 13.6 KiB with KV cache, activations and logits) and save 1 hop per \
                    token: use device_map = \"x:1\"";
    assert_eq!(about(&roomy), [sentence]);
    roomy.devices[1].1 = Some(Bytes(13_887));
    assert!(about(&roomy).is_empty(), "the weights would have fit twice");
    let mut single = setting(&[("", "x:1")]);
    single.devices[1].1 = Some(Bytes(13_888));
    assert!(about(&single).is_empty());
    let mut host = setting(&HALVES);
    host.devices.push(("cpu".into(), None));
    assert!(about(&host).is_empty(), "the host is no better choice");
}

#[test]
fn weights_on_the_host_that_nobody_asked_for_are_told() {
    let about = |setting: &Setting| setting.about(|advice| matches!(advice, Advice::SilentSpill { .. }));
    let mut spilt = setting(&[
        ("", "x:0"),
        ("model.norm", "disk"),
        ("lm_head", "disk"),
        ("model.layers.1", "cpu"),
    ]);
    let sentences = about(&spilt);
    assert_eq!(sentences.len(), 2);
    assert!(sentences[0].starts_with("model.layers.1 (768 B) went to cpu although nobody asked for it"));
    assert!(sentences[1].starts_with("model.norm … lm_head (2 modules) (3.16 KiB) went to disk"));
    spilt.named = vec!["cpu".into(), "disk".into()];
    assert!(about(&spilt).is_empty());
    let mut host_only = setting(&[("", "cpu")]);
    host_only.devices = vec![("cpu".into(), None)];
    assert!(about(&host_only).is_empty(), "there is nothing else");
}

#[test]
fn ties_on_two_devices_are_told() {
    let about = |setting: &Setting| setting.about(|advice| matches!(advice, Advice::TiedApart { .. }));
    let mut tied = setting(&HALVES);
    (tied.tree, tied.decoder) = (tree(2, true), decoder(2, true));
    let sentence = "one tensor has several places (lm_head.weight on x:1, model.embed_tokens.weight on x:0): its 3.12 KiB \
                    are held on each, or the model fails; give these modules one device";
    assert_eq!(about(&tied), [sentence]);
    let shared = tied.decoder.tie.unwrap();
    tied.tree = tree(2, false);
    let sentence = "one tensor has several places (model.embed_tokens on x:0, lm_head on x:1): its 3.12 KiB are held on \
                    each, or the model fails; give these modules one device";
    assert_eq!(about(&tied), [sentence], "a file may leave the tied head out");
    tied.tree = tree(2, true);
    tied.decoder.tie = Some(Tie {
        bytes: Bytes(1600),
        ..shared
    });
    assert!(about(&tied)[0].contains("its 1.56 KiB are"), "as it is loaded");
    tied.map.push(("lm_head".into(), "x:0".into()));
    assert!(about(&tied).is_empty());
    assert!(about(&setting(&HALVES)).is_empty(), "untied");
}

#[test]
fn a_head_apart_from_its_embedding_is_told() {
    let about = |setting: &Setting| setting.about(|advice| matches!(advice, Advice::HeadApart { .. }));
    let sentence = "the embedding is on x:0 and the head on x:1: each new token goes back from x:1 to x:0";
    assert_eq!(about(&setting(&HALVES)), [sentence]);
    assert!(about(&setting(&[("", "x:0"), ("model.layers", "x:1")])).is_empty());
}

#[test]
fn inputs_elsewhere_are_told() {
    let about = |setting: &Setting| setting.about(|advice| matches!(advice, Advice::InputElsewhere { .. }));
    let mut inputs = setting(&HALVES);
    inputs.input = Some("x:1".into());
    let sentence = "the prompt is on x:1 but the first module is on x:0: create inputs on x:0";
    assert_eq!(about(&inputs), [sentence]);
    inputs.input = Some("x:0".into());
    assert!(about(&inputs).is_empty());
}

#[test]
fn a_cache_that_will_not_fit_is_told_with_its_token() {
    let over = |setting: &Setting| setting.about(|advice| matches!(advice, Advice::OverBudget { .. }));
    let mut tight = setting(&HALVES);
    tight.devices[0].1 = Some(Bytes(8_400));
    let sentence = "x:0 needs 8.25 KiB of 8.20 KiB: its KV cache fills it at token 19 of each sequence; generate less, use \
                    a smaller batch, or move layers away";
    assert_eq!(over(&tight), [sentence]);
    let later = |setting: &Setting| setting.about(|advice| matches!(advice, Advice::RunsOut { .. }));
    assert!(later(&tight).is_empty(), "that is said already");
    tight.devices[0].1 = Some(Bytes(7_000));
    assert!(
        over(&tight)[0]
            .ends_with("weights fit, but not with working set and logits; shorten the prompt, or move modules away")
    );
    tight.devices[0].1 = Some(Bytes(3_000));
    assert!(over(&tight)[0].ends_with("its weights alone are too large; move modules away"));
    tight.devices[0].1 = Some(Bytes(8_448));
    assert!(over(&tight).is_empty());
    let sentence = "x:0 is full at token 21 of each sequence (the model goes on to 1000): longer requests need layers moved \
                    away";
    assert_eq!(later(&tight), [sentence]);
    tight.devices = vec![("x:0".into(), None), ("x:1".into(), Some(Bytes(1_000_000)))];
    assert!(later(&tight).is_empty());
}

#[test]
fn an_uneven_split_is_told() {
    let uneven = |setting: &Setting| -> Vec<Advice<String>> {
        let mut advice = setting.advice();
        advice.retain(|advice| matches!(advice, Advice::Uneven { .. }));
        advice
    };
    let mut lopsided = setting(&[("", "x:0"), ("lm_head", "x:1")]);
    // 3200 + 1536 + 32 + 1280 + 3840 against 3200 + 640 + 800.
    let advice = uneven(&lopsided);
    let [Advice::Uneven { most, ratio, load, .. }] = advice.as_slice() else {
        panic!("{advice:?}")
    };
    assert_eq!((most.as_str(), *load), ("x:0", Load::BudgetShare));
    assert_eq!(*ratio, (9888.0 / 12_000.0) / (4640.0 / 12_000.0));
    assert!(
        advice[0]
            .to_string()
            .starts_with("x:0 holds 2.1 times as large a share of its budget as x:1 (more than 1.5)")
    );
    lopsided.devices[1].1 = Some(Bytes(6_000));
    assert!(uneven(&lopsided).is_empty(), "a small device holds little");
    lopsided.devices[1].1 = None;
    assert!(uneven(&lopsided)[0].to_string().contains("as many bytes"));
    assert!(uneven(&setting(&HALVES)).is_empty());
}

#[test]
fn unlike_devices_without_uuid_are_told() {
    let about = |setting: &Setting| setting.about(|advice| matches!(advice, Advice::OrderAmbiguous { .. }));
    let gpu = |device: &str, model: &str, uuid: Option<&str>| DeviceIdentity {
        device: device.to_owned(),
        model: model.to_owned(),
        uuid: uuid.map(str::to_owned),
    };
    let mut unlike = setting(&HALVES);
    unlike.hardware = vec![gpu("x:0", "RTX 3090", None), gpu("x:1", "RTX 3060\u{1b}[2J", None)];
    let sentences = about(&unlike);
    assert!(
        sentences[0].contains("they differ (x:0 is RTX 3090, x:1 is RTX 3060[2J)"),
        "{sentences:?}"
    );
    unlike.hardware = vec![
        gpu("x:0", "RTX 3090", Some("GPU-1")),
        gpu("x:1", "RTX 3060", Some("GPU-2")),
    ];
    assert!(about(&unlike).is_empty());
    unlike.hardware = vec![gpu("x:0", "RTX 3090", None), gpu("x:1", "RTX 3090", None)];
    assert!(about(&unlike).is_empty(), "equal devices may be in any order");
}

#[test]
fn a_block_that_is_cut_is_told() {
    let about = |setting: &Setting| setting.about(|advice| matches!(advice, Advice::BlockCut { .. }));
    let cut = setting(&[("", "x:0"), ("model.layers.1.mlp", "x:1")]);
    let sentence =
        "model.layers.1 is divided between x:0 and x:1 but runs in one piece: give `model.layers.1` one device";
    assert_eq!(about(&cut), [sentence]);
    assert_eq!(cut.advice()[0].severity(), Severity::Error, "the worst comes first");
    assert!(about(&setting(&HALVES)).is_empty());
    let parts = setting(&[("", "x:0"), ("model.layers.1.mlp", "x:0")]);
    assert!(about(&parts).is_empty(), "both parts are on one device");
    let only_parts = setting(&[
        ("model.embed_tokens", "x:0"),
        ("model.layers.0", "x:0"),
        ("model.layers.1.attn", "x:0"),
        ("model.layers.1.mlp", "x:1"),
        ("model.norm", "x:1"),
        ("lm_head", "x:1"),
    ]);
    assert_eq!(only_parts.advice().len(), 1, "nothing is said twice");
}

#[test]
fn a_module_without_a_device_is_told() {
    let about = |setting: &Setting| setting.about(|advice| matches!(advice, Advice::NotPlaced { .. }));
    assert_eq!(
        about(&setting(&[("model", "x:0")])),
        ["lm_head has no device: add it, or the module above it, to the map"]
    );
    assert!(about(&setting(&HALVES)).is_empty());
}
