//! The fastest placement against every other one, on models small enough to try them all.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::HashSet;
use std::ops::Range;

use placebench_core::module_tree::{ModuleTree, TensorKind};
use placebench_core::placement::StrategyName;
use placebench_core::planner::{
    Attention, Decoder, DeviceRates, Footprint, Link, LinkRates, LogitPositions, MemoryLimit, Mlp, ModelShape,
    Objective, OptimalAnswer, OptimalError, OptimalRequest, PlacedDecoder, PlanDevice, PlanRequest, Rates, Workload,
    footprint, plan, plan_optimal, predict,
};
use placebench_core::units::Bytes;
use proptest::prelude::*;

/// Everything that a request needs, owned.
#[derive(Debug, Clone)]
struct Setting {
    tree: ModuleTree,
    decoder: Decoder,
    workload: Workload,
    devices: Vec<(PlanDevice, Option<Bytes>)>,
    rates: Rates<PlanDevice>,
    objective: Objective,
}

impl Setting {
    fn request(&self) -> OptimalRequest<'_, PlanDevice> {
        OptimalRequest {
            decoder: &self.decoder,
            workload: &self.workload,
            devices: &self.devices,
            rates: &self.rates,
            objective: self.objective,
        }
    }

    fn plan(&self) -> Result<OptimalAnswer<PlanDevice>, OptimalError> {
        plan_optimal(&self.request())
    }

    fn budgets(&self) -> Vec<(PlanDevice, Bytes)> {
        let limited = self.devices.iter();
        limited
            .filter_map(|(device, budget)| Some((*device, (*budget)?)))
            .collect()
    }

    fn footprint(&self, placed: &PlacedDecoder<'_, PlanDevice>) -> Footprint<PlanDevice> {
        footprint(placed, &self.workload, &self.budgets())
    }

    /// Time, stages, and how full the fullest device is, of a map that every device can hold.
    fn score(&self, map: &[(String, PlanDevice)]) -> Option<Score> {
        let placed = PlacedDecoder::new(&self.decoder, map).ok()?;
        let footprint = self.footprint(&placed);
        let fills = footprint.devices.iter().filter_map(|device| {
            let budget = device.budget_bytes?;
            Some(u128::from(device.total_bytes.0) * 1_000_000 / u128::from(budget.0.max(1)))
        });
        let fill = fills.max().unwrap_or(0);
        footprint.fits().then(|| Score {
            seconds: predict(&placed, &self.workload, &self.rates).seconds(self.objective),
            stages: placed.stage_ranges().len(),
            fill,
        })
    }

    fn missing(&self, map: &[(String, PlanDevice)]) -> u64 {
        let placed = PlacedDecoder::new(&self.decoder, map).unwrap();
        let footprint = self.footprint(&placed);
        footprint.devices.iter().map(|device| device.room.deficit().0).sum()
    }

    /// Every placement with one run of modules per device; with `rings`, also those whose head returns to the first.
    fn all_maps(&self, rings: bool) -> Vec<Vec<(String, PlanDevice)>> {
        let modules = self.decoder.order();
        let mut maps = Vec::new();
        let named = |ends: &[(Range<usize>, PlanDevice)]| -> Vec<(String, PlanDevice)> {
            let pairs = ends
                .iter()
                .flat_map(|(range, device)| modules[range.clone()].iter().map(|path| (path.clone(), *device)));
            pairs.collect()
        };
        for ends in runs(modules.len(), &self.devices) {
            maps.push(named(&ends));
        }
        if rings {
            let last = modules.len() - 1;
            for mut ends in runs(last, &self.devices) {
                if ends.len() > 1 {
                    ends.push((last..last + 1, ends[0].1));
                    maps.push(named(&ends));
                }
            }
        }
        maps
    }
}

/// Ordered as the planner orders: time, stages, fill.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
struct Score {
    seconds: f64,
    stages: usize,
    fill: u128,
}

/// All ways to cut so many modules into runs on different devices.
fn runs(modules: usize, devices: &[(PlanDevice, Option<Bytes>)]) -> Vec<Vec<(Range<usize>, PlanDevice)>> {
    fn extend(
        modules: usize,
        devices: &[(PlanDevice, Option<Bytes>)],
        current: &mut Vec<(Range<usize>, PlanDevice)>,
        all: &mut Vec<Vec<(Range<usize>, PlanDevice)>>,
    ) {
        let start = current.last().map_or(0, |(range, _)| range.end);
        if start == modules {
            all.push(current.clone());
            return;
        }
        for (device, _) in devices {
            if current.iter().any(|(_, used)| used == device) {
                continue;
            }
            for end in start + 1..=modules {
                current.push((start..end, *device));
                extend(modules, devices, current, all);
                current.pop();
            }
        }
    }
    let mut all = Vec::new();
    extend(modules, devices, &mut Vec::new(), &mut all);
    all
}

/// A decoder tree: embedding, layers of different sizes, norm, head.
fn tree(vocab: u64, layers: &[u64], is_tied: bool) -> ModuleTree {
    let mut builder = ModuleTree::builder("random", "Net").no_split_classes(["Block"]);
    let mut add = |path: &str, class: &str, rows: u64| {
        builder.push_module(path, class);
        if rows > 0 {
            builder.push_tensor(format!("{path}.weight"), TensorKind::Param, "float32", [rows, 4], None);
        }
    };
    add("model", "Model", 0);
    add("model.embed_tokens", "Embedding", vocab);
    add("model.layers", "ModuleList", 0);
    for (layer, &rows) in layers.iter().enumerate() {
        add(&format!("model.layers.{layer}"), "Block", rows);
    }
    add("model.norm", "Norm", 1);
    add("lm_head", "Linear", vocab);
    if is_tied {
        builder = builder.tie(["model.embed_tokens.weight", "lm_head.weight"]);
    }
    builder.build().unwrap()
}

fn decoders() -> impl Strategy<Value = (ModuleTree, Decoder)> {
    let layers = prop::collection::vec(prop::sample::select(vec![1_u64, 20, 20, 60]), 1..=4);
    (1_u64..80, layers, any::<bool>(), 1_u64..3).prop_map(|(vocab, layers, is_tied, kv_heads)| {
        let tree = tree(vocab, &layers, is_tied);
        let shape = ModelShape {
            layers: layers.len() as u64,
            hidden: 4,
            intermediate: 8,
            heads: 2,
            kv_heads,
            head_dim: 2,
            vocab,
            max_positions: 100,
            tied: is_tied,
            mlp: Mlp::Gated,
        };
        let order = placebench_core::planner::execution_order(&tree);
        let decoder = Decoder::new(&tree, &order, shape, None).unwrap();
        (tree, decoder)
    })
}

fn workloads() -> impl Strategy<Value = Workload> {
    (0_u64..20, 0_u64..20, 1_u64..3, any::<bool>(), any::<bool>()).prop_map(|(prompt, output, batch, fused, all)| {
        Workload {
            batch,
            attention: if fused { Attention::Fused } else { Attention::Eager },
            logits: if all { LogitPositions::All } else { LogitPositions::Last },
            ..Workload::new(prompt, output, 4)
        }
    })
}

/// Few values, so that equal devices and equal times occur.
fn device_rates() -> impl Strategy<Value = DeviceRates> {
    let speeds = || prop::sample::select(vec![1e3, 1e4, 1e4, 1e5]);
    (speeds(), speeds(), prop::sample::select(vec![0.0, 0.001, 0.01])).prop_map(
        |(memory_bytes_per_s, flops_per_s, overhead)| DeviceRates {
            memory_bytes_per_s,
            flops_per_s,
            step_overhead_s: overhead,
            layer_overhead_s: overhead / 3.0,
        },
    )
}

fn link_rates() -> impl Strategy<Value = LinkRates> {
    let latency = prop::sample::select(vec![0.0, 0.001, 0.001, 0.1]);
    (latency, prop::sample::select(vec![1e2, 1e4]))
        .prop_map(|(latency_s, bytes_per_s)| LinkRates { latency_s, bytes_per_s })
}

fn rates() -> impl Strategy<Value = Rates<PlanDevice>> {
    let devices = prop::collection::vec((0_i32..4, device_rates()), 0..5);
    let links = prop::collection::vec((0_i32..4, 0_i32..4, link_rates()), 0..8);
    (devices, links, device_rates(), link_rates()).prop_map(|(devices, links, default_device, default_link)| Rates {
        devices: devices
            .into_iter()
            .map(|(index, rates)| (PlanDevice::Accelerator(index), rates))
            .collect(),
        links: links
            .into_iter()
            .map(|(from, to, rates)| Link {
                from: PlanDevice::Accelerator(from),
                to: PlanDevice::Accelerator(to),
                rates,
            })
            .collect(),
        default_device,
        default_link,
    })
}

fn settings() -> impl Strategy<Value = Setting> {
    // Budgets as shares of what one device would need for everything.
    let share = prop::sample::select(vec![20_u64, 40, 40, 60, 60, 90, 110]);
    let budgets = prop::collection::vec(prop::option::weighted(0.95, share), 1..=4);
    let objective = prop::sample::select(vec![Objective::Tpot, Objective::Ttft]);
    (decoders(), workloads(), budgets, rates(), objective).prop_map(
        |((tree, decoder), workload, shares, rates, objective)| {
            let everywhere = [(String::new(), PlanDevice::Accelerator(0))];
            let placed = PlacedDecoder::new(&decoder, &everywhere).unwrap();
            let needed = footprint(&placed, &workload, &[]).devices[0].total_bytes.0;
            let budget = |share: Option<u64>| share.map(|share| Bytes(needed * share / 100));
            let devices = (0..)
                .map(PlanDevice::Accelerator)
                .zip(shares.into_iter().map(budget))
                .collect();
            Setting {
                tree,
                decoder,
                workload,
                devices,
                rates,
                objective,
            }
        },
    )
}

/// The best score of all placements that fit.
fn best(setting: &Setting, rings: bool) -> Option<Score> {
    let maps = setting.all_maps(rings);
    let scores = maps.iter().filter_map(|map| setting.score(map));
    scores.min_by(|a, b| a.partial_cmp(b).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_placement_is_better(setting in settings()) {
        let is_tied = setting.decoder.tie.is_some();
        match (setting.plan(), best(&setting, is_tied)) {
            (Ok(answer), best) => prop_assert_eq!(setting.score(&answer.chosen.device_map), best),
            (Err(OptimalError::DoesNotFit(shortfall)), None) => {
                let missing = setting.all_maps(is_tied).iter().map(|map| setting.missing(map)).min();
                prop_assert_eq!(Some(shortfall.missing_bytes.0), missing);
            }
            (Err(error), best) => prop_assert!(false, "{error}, but {best:?} is possible"),
        }
    }

    #[test]
    fn the_runner_up_is_the_best_on_other_devices(setting in settings()) {
        let Ok(answer) = setting.plan() else { return Ok(()) };
        let chosen = setting.score(&answer.chosen.device_map).unwrap();
        let runner_up = answer.runner_up.map(|runner_up| setting.score(&runner_up.device_map).unwrap());
        prop_assert!(runner_up.is_none_or(|score| score >= chosen));
        // Another number of devices is another choice of devices, whichever of them are alike.
        let number = |map: &[(String, PlanDevice)]| map.iter().map(|(_, device)| *device).collect::<HashSet<_>>().len();
        let used = number(&answer.chosen.device_map);
        for map in setting.all_maps(setting.decoder.tie.is_some()).iter().filter(|map| number(map) != used) {
            if let Some(score) = setting.score(map) {
                prop_assert!(runner_up.is_some_and(|runner_up| runner_up <= score), "{map:?}");
            }
        }
        let singles = setting.devices.iter().filter_map(|(device, _)| setting.score(&[(String::new(), *device)]));
        let fastest = singles.map(|score| score.seconds).min_by(f64::total_cmp);
        prop_assert_eq!(answer.single.map(|single| single.prediction.seconds(setting.objective)), fastest);
    }

    #[test]
    fn every_module_has_one_device_and_budgets_are_kept(setting in settings()) {
        let Ok(answer) = setting.plan() else { return Ok(()) };
        let paths: Vec<String> = answer.chosen.device_map.iter().map(|(path, _)| path.clone()).collect();
        prop_assert_eq!(paths, setting.decoder.order());
        for entry in &answer.chosen.footprint.devices {
            let (_, budget) = setting.devices.iter().find(|(device, _)| *device == entry.device).unwrap();
            prop_assert_eq!(entry.budget_bytes, *budget);
            prop_assert!(budget.is_none_or(|budget| entry.total_bytes <= budget));
        }
        let placed = PlacedDecoder::new(&setting.decoder, &answer.chosen.device_map).unwrap();
        prop_assert_eq!(setting.footprint(&placed), answer.chosen.footprint.clone());
        let json = serde_json::to_string(&answer).unwrap();
        prop_assert_eq!(serde_json::from_str::<OptimalAnswer<PlanDevice>>(&json).unwrap(), answer);
    }

    #[test]
    fn the_same_request_has_the_same_answer(setting in settings(), shift in 0_usize..4) {
        let answer = setting.plan();
        prop_assert_eq!(&answer, &setting.clone().plan());
        // Another order of the devices may choose another of several equals, but none that is slower.
        let mut turned = setting.clone();
        let by = shift % turned.devices.len();
        turned.devices.rotate_left(by);
        let score = |answer: Result<OptimalAnswer<PlanDevice>, _>| {
            answer.ok().and_then(|answer| setting.score(&answer.chosen.device_map))
        };
        prop_assert_eq!(score(turned.plan()), score(answer));
    }

    #[test]
    fn a_larger_budget_never_hurts(setting in settings(), device in 0_usize..4, more in 0_u64..2000) {
        let Ok(before) = setting.plan() else { return Ok(()) };
        let mut larger = setting.clone();
        let device = device % larger.devices.len();
        larger.devices[device].1 = larger.devices[device].1.map(|budget| Bytes(budget.0 + more));
        let after = larger.plan();
        prop_assert!(after.is_ok(), "{after:?}");
        let seconds = |answer: &OptimalAnswer<PlanDevice>| answer.chosen.prediction.seconds(setting.objective);
        prop_assert!(seconds(&after.unwrap()) <= seconds(&before));
    }

    #[test]
    fn no_strategy_is_better(setting in settings(), strategy in prop::sample::select(StrategyName::ALL.to_vec())) {
        let limits = setting.budgets().into_iter().map(|(device, bytes)| (device, MemoryLimit::from(bytes.0)));
        let request = PlanRequest { max_memory: Some(limits.collect()), ..PlanRequest::new(strategy) };
        let theirs = plan(&setting.tree, &request).unwrap();
        let listed = |device: &PlanDevice| setting.devices.iter().any(|(known, _)| known == device);
        if !theirs.device_map.iter().all(|(_, device)| listed(device)) {
            return Ok(());
        }
        if let Some(score) = setting.score(&theirs.device_map) {
            let ours = setting.plan();
            prop_assert!(ours.is_ok(), "{ours:?} although {:?} fits", theirs.device_map);
            prop_assert!(ours.unwrap().chosen.prediction.seconds(setting.objective) <= score.seconds);
        }
    }

    #[test]
    fn arbitrary_numbers_are_answered_or_refused(
        setting in settings(),
        numbers in prop::array::uniform6(any::<u64>()),
        budget in any::<u64>(),
    ) {
        let [prompt, output, hidden, kv_heads, weight, tie] = numbers;
        let mut setting = setting;
        setting.workload = Workload::new(prompt, output, 2);
        setting.decoder.shape.hidden = hidden;
        setting.decoder.shape.kv_heads = kv_heads;
        setting.decoder.modules[0].weight_bytes = Bytes(weight);
        if let Some(shared) = &mut setting.decoder.tie {
            shared.bytes = Bytes(tie);
        }
        setting.devices[0].1 = Some(Bytes(budget));
        match setting.plan() {
            Ok(answer) => prop_assert!(answer.chosen.footprint.fits()),
            Err(OptimalError::DoesNotFit(_)) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

/// Published models with budgets per device in MiB.
const PUBLISHED: [(&str, &[u64]); 6] = [
    ("qwen2.5-3b-instruct", &[4096, 4096]),
    ("qwen2.5-3b-instruct", &[3000, 6000, 3000]),
    ("llama-3.1-8b", &[9000, 12_000]),
    ("gemma-2-2b", &[3072, 4096, 2048]),
    ("gpt2", &[160, 160, 160, 160]),
    ("mistral-7b-v0.3", &[16_000, 8000]),
];

#[test]
fn published_models_are_placed_no_worse_than_by_accelerate() {
    let mut compared = 0;
    for (name, budgets) in PUBLISHED {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/accelerate/models");
        let text = std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap();
        let tree: ModuleTree = serde_json::from_str(&text).unwrap();
        let shape = ModelShape::from_config(tree.config().unwrap()).unwrap();
        let order = placebench_core::planner::execution_order(&tree);
        let decoder = Decoder::new(&tree, &order, shape, Some("bfloat16")).unwrap();
        assert_eq!(decoder.tie.is_some(), shape.tied, "{name}");
        let budgets = budgets.iter().map(|mib| Some(Bytes(mib << 20)));
        let setting = Setting {
            tree,
            decoder,
            workload: Workload::new(256, 256, 2),
            devices: (0..).map(PlanDevice::Accelerator).zip(budgets).collect(),
            rates: Rates::default(),
            objective: Objective::Tpot,
        };
        let ours = setting.plan().unwrap();
        assert!(ours.chosen.footprint.fits());
        for strategy in StrategyName::ALL {
            let limits = setting
                .budgets()
                .into_iter()
                .map(|(device, bytes)| (device, MemoryLimit::from(bytes.0)));
            let request = PlanRequest {
                max_memory: Some(limits.collect()),
                dtype: Some("bfloat16".into()),
                ..PlanRequest::new(strategy)
            };
            let theirs = plan(&setting.tree, &request).unwrap().device_map;
            if let Some(score) = setting
                .score(&theirs)
                .filter(|_| theirs.iter().all(|(_, device)| device.is_accelerator()))
            {
                assert!(
                    ours.chosen.prediction.tpot.time_s <= score.seconds,
                    "{name} {strategy:?}"
                );
                compared += 1;
            }
        }
    }
    assert!(
        compared >= 10,
        "only {compared} of their placements fit with caches and working sets"
    );
}
