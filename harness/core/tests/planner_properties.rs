//! Properties of every plan, over random trees and budgets.

use std::collections::{BTreeMap, HashSet};

use placebench_core::module_tree::{ModuleTree, ModuleTreeBuilder, TensorKind};
use placebench_core::placement::StrategyName;
use placebench_core::planner::{
    Amount, Dialect, ExplanationStep, Flow, MemoryLimit, PlanAnswer, PlanDevice, PlanRequest, TrialOutcome,
    expand_to_modules, expand_to_tensors, explain, parse_size, plan, resolve_manual,
};
use proptest::prelude::*;

const CLASSES: [&str; 4] = ["Block", "Group", "Linear", "Identity"];

/// A module with its class, the lengths of its parameters and buffers, and its children.
#[derive(Debug, Clone)]
struct Node {
    class: usize,
    params: Vec<u64>,
    buffers: Vec<(u64, bool)>,
    children: Vec<Self>,
}

fn node() -> impl Strategy<Value = Node> {
    let tensors = || {
        let params = prop::collection::vec(prop::sample::select(vec![0_u64, 1, 10, 10, 30]), 0..3);
        let buffers = prop::collection::vec((0_u64..20, any::<bool>()), 0..2);
        (0..CLASSES.len(), params, buffers)
    };
    let leaf = tensors().prop_map(|(class, params, buffers)| Node {
        class,
        params,
        buffers,
        children: Vec::new(),
    });
    leaf.prop_recursive(4, 40, 6, move |inner| {
        (tensors(), prop::collection::vec(inner, 1..6)).prop_map(|((class, params, buffers), children)| Node {
            class,
            params,
            buffers,
            children,
        })
    })
}

/// Numbers for the names of modules and tensors.
struct Numbers {
    /// Never use a number twice, so that no path occurs inside another one: the reference mistakes that for a tie.
    unique: bool,
    used: usize,
}

impl Numbers {
    fn next(&mut self, among_siblings: usize) -> usize {
        self.used += 1;
        if self.unique { self.used } else { among_siblings }
    }
}

/// A tree in the making.
struct Growth {
    builder: ModuleTreeBuilder,
    params: Vec<(String, u64)>,
    numbers: Numbers,
}

impl Growth {
    fn add(&mut self, path: &str, node: &Node) {
        let below = |kind: char, number: usize| match path {
            "" => format!("{kind}{number}"),
            _ => format!("{path}.{kind}{number}"),
        };
        for (index, &length) in node.params.iter().enumerate() {
            let name = below('p', self.numbers.next(index));
            self.builder
                .push_tensor(name.clone(), TensorKind::Param, "float32", [length], None);
            self.params.push((name, length));
        }
        for (index, &(length, is_stored)) in node.buffers.iter().enumerate() {
            let name = below('b', self.numbers.next(index));
            let kind = if is_stored {
                TensorKind::Buffer
            } else {
                TensorKind::BufferNp
            };
            let dtype = if length % 3 == 0 { "bool" } else { "float32" };
            self.builder.push_tensor(name, kind, dtype, [length], None);
        }
        for (index, child) in node.children.iter().enumerate() {
            let child_path = below('m', self.numbers.next(index));
            self.builder.push_module(child_path.clone(), CLASSES[child.class]);
            self.add(&child_path, child);
        }
    }
}

/// Ties the parameters at these positions, where they could be one: same length, different modules, not tied yet.
fn ties(params: &[(String, u64)], pairs: &[(usize, usize)]) -> Vec<Vec<String>> {
    let module_of = |name: &str| name.rsplit_once('.').map_or("", |(module, _)| module).to_owned();
    let mut tied = HashSet::new();
    let mut groups = Vec::new();
    for &(a, b) in pairs {
        let (Some((a, length_a)), Some((b, length_b))) =
            (params.get(a % params.len().max(1)), params.get(b % params.len().max(1)))
        else {
            continue;
        };
        let is_possible = length_a == length_b && module_of(a) != module_of(b);
        if is_possible && !tied.contains(a) && !tied.contains(b) {
            tied.extend([a.clone(), b.clone()]);
            groups.push(vec![a.clone(), b.clone()]);
        }
    }
    groups
}

fn tree_with_ties(max_ties: usize) -> impl Strategy<Value = ModuleTree> {
    tree(max_ties, false)
}

fn tree(max_ties: usize, unique: bool) -> impl Strategy<Value = ModuleTree> {
    let pairs = prop::collection::vec((any::<usize>(), any::<usize>()), 0..=max_ties);
    (node(), pairs).prop_map(move |(root, pairs)| {
        let mut growth = Growth {
            builder: ModuleTree::builder("random", "Net"),
            params: Vec::new(),
            numbers: Numbers { unique, used: 0 },
        };
        growth.add("", &root);
        growth
            .builder
            .ties(ties(&growth.params, &pairs))
            .build()
            .expect("a well-formed tree")
    })
}

fn request() -> impl Strategy<Value = PlanRequest> {
    let budgets = prop::collection::vec((-1_i32..6, -10_i64..3000), 0..6);
    let host = prop::option::of(0_i64..3000);
    let strategy = prop::sample::select(StrategyName::ALL.to_vec());
    let dialect = prop::sample::select(vec![Dialect::Accelerate, Dialect::Transformers5]);
    let flow = prop::sample::select(vec![Flow::Accelerate, Flow::Transformers]);
    let no_split = prop::sample::subsequence(CLASSES.to_vec(), 0..=2);
    (budgets, host, strategy, dialect, flow, no_split, any::<bool>()).prop_map(
        |(budgets, host, strategy, dialect, flow, no_split, disk)| {
            let bytes = |bytes: i64| MemoryLimit::Bytes(Amount::from(bytes));
            let accelerators = budgets
                .into_iter()
                .map(|(index, limit)| (PlanDevice::Accelerator(index), bytes(limit)));
            let host = host.into_iter().map(|limit| (PlanDevice::Cpu, bytes(limit)));
            let disk = disk.then_some((PlanDevice::Disk, bytes(0)));
            PlanRequest {
                dialect,
                flow,
                max_memory: Some(accelerators.chain(host).chain(disk).collect()),
                no_split: Some(no_split.into_iter().map(str::to_owned).collect()),
                clean_result: false,
                ..PlanRequest::new(strategy)
            }
        },
    )
}

/// How many keys of the map cover a name.
fn covering(answer: &PlanAnswer, name: &str) -> usize {
    let covers = |key: &str| {
        key.is_empty()
            || name
                .strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    answer.device_map.iter().filter(|(key, _)| covers(key)).count()
}

/// A buffer directly in a divided module: no entry covers it, in the reference neither.
fn may_be_uncovered(tree: &ModuleTree, tensor: usize) -> bool {
    tree.tensors()[tensor].kind.is_buffer() && !tree.children(tree.owner(tensor)).is_empty()
}

/// Bytes on each device, tied parameters counted where the first of their names is.
fn used(tree: &ModuleTree, answer: &PlanAnswer) -> BTreeMap<PlanDevice, Amount> {
    let mut used = BTreeMap::new();
    let repeated: HashSet<usize> = tree
        .tied()
        .iter()
        .flat_map(|group| {
            let mut members: Vec<usize> = group.iter().filter_map(|name| tree.tensor_index(name)).collect();
            members.sort_unstable();
            members.into_iter().skip(1)
        })
        .collect();
    for (tensor, (_, device)) in expand_to_tensors(tree, &answer.device_map).into_iter().enumerate() {
        if let Some(device) = device.filter(|_| !repeated.contains(&tensor)) {
            let bytes = used.entry(device).or_insert(Amount::ZERO);
            // Transformers 5 counts a whole byte for a bool; budgets are checked with the smaller size.
            *bytes += tree.tensors()[tensor].bytes;
        }
    }
    used
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_tensor_has_one_device(tree in tree_with_ties(3), request in request(), fallback in any::<bool>()) {
        let request = PlanRequest { fallback_allocation: fallback, ..request };
        let answer = plan(&tree, &request).unwrap();
        for (position, tensor) in tree.tensors().iter().enumerate() {
            match covering(&answer, &tensor.name) {
                1 => {}
                0 => prop_assert!(may_be_uncovered(&tree, position), "{} has no device", tensor.name),
                more => prop_assert!(false, "{} has {more} keys", tensor.name),
            }
        }
    }

    #[test]
    fn grouping_changes_no_device(tree in tree_with_ties(2), request in request()) {
        let plain = plan(&tree, &request).unwrap();
        let grouped = plan(&tree, &PlanRequest { clean_result: true, ..request }).unwrap();
        let devices = expand_to_tensors(&tree, &grouped.device_map);
        for ((name, before), (_, after)) in expand_to_tensors(&tree, &plain.device_map).into_iter().zip(devices) {
            prop_assert!(before.is_none() || before == after, "{name} moved from {before:?} to {after:?}");
        }
        prop_assert!(grouped.device_map.len() <= plain.device_map.len());
    }

    #[test]
    fn budgets_are_respected(tree in tree(3, true), request in request()) {
        let answer = plan(&tree, &request).unwrap();
        let used = used(&tree, &answer);
        for (device, budget) in answer.budget.iter().filter(|(device, _)| *device != PlanDevice::Disk) {
            let used = used.get(device).copied().unwrap_or(Amount::ZERO);
            prop_assert!(used <= budget.max(Amount::ZERO), "{device}: {used} of {budget}");
        }
    }

    #[test]
    fn balancing_never_raises_a_budget(tree in tree_with_ties(1), request in request()) {
        let sequential = PlanRequest { strategy: StrategyName::Sequential, ..request.clone() };
        let own = plan(&tree, &sequential).unwrap().budget;
        let balanced = plan(&tree, &request).unwrap().budget;
        prop_assert_eq!(own.len(), balanced.len());
        for ((device, own), (_, balanced)) in own.into_iter().zip(balanced) {
            prop_assert!(balanced <= own, "{device}: {own} became {balanced}");
        }
    }

    #[test]
    fn devices_follow_the_order_of_the_tree(tree in tree_with_ties(0), request in request()) {
        let answer = plan(&tree, &request).unwrap();
        let devices: Vec<PlanDevice> = answer.device_map.iter().map(|(_, device)| *device).collect();
        prop_assert!(devices.is_sorted(), "{devices:?}");
        let modules: Vec<usize> = answer.device_map.iter().filter_map(|(key, _)| tree.module_index(key)).collect();
        prop_assert!(modules.is_sorted(), "{:?}", answer.device_map);
    }

    #[test]
    fn the_same_request_has_the_same_answer(tree in tree_with_ties(3), request in request(), clean in any::<bool>()) {
        let request = PlanRequest { clean_result: clean, fallback_allocation: true, ..request };
        let json = serde_json::to_string(&tree).unwrap();
        let again: ModuleTree = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(plan(&tree, &request), plan(&again, &request));
    }

    #[test]
    fn explanations_end_where_modules_are(tree in tree_with_ties(3), request in request(), fallback in any::<bool>()) {
        let request = PlanRequest { fallback_allocation: fallback, ..request };
        let answer = plan(&tree, &request).unwrap();
        for (path, device) in expand_to_modules(&tree, &answer.device_map) {
            let explanation = explain(&tree, &request, path).unwrap();
            let placed_on = explanation.steps.iter().rev().find_map(|step| match step {
                ExplanationStep::Tried { trial, result: TrialOutcome::Placed } => Some(trial.device),
                _ => None,
            });
            prop_assert!(device.is_none() || device == placed_on, "{path}: {explanation}");
            for step in &explanation.steps {
                let ExplanationStep::Tried { trial, result } = step else { continue };
                let fits = trial.room.as_ref().is_none_or(|room| room.used + trial.bytes_with_ties <= room.limit);
                prop_assert_eq!(fits, *result == TrialOutcome::Placed, "{}", step);
            }
        }
    }

    #[test]
    fn trees_survive_a_round_trip(tree in tree_with_ties(3)) {
        let json = serde_json::to_string(&tree).unwrap();
        let again: ModuleTree = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(json, serde_json::to_string(&again).unwrap());
    }

    #[test]
    fn arbitrary_trees_are_accepted_or_refused(
        modules in prop::collection::vec("[ab.]{0,6}", 0..8),
        tensors in prop::collection::vec(("[abw.]{0,8}", any::<u64>(), prop::option::of(any::<u64>())), 0..8),
        tied in prop::collection::vec(prop::collection::vec("[abw.]{0,4}", 0..3), 0..2),
        same in prop::collection::vec(("[ab.]{0,4}", "[ab.]{0,4}"), 0..3),
        request in request(),
    ) {
        let mut builder = ModuleTree::builder("arbitrary", "Net").ties(tied).same_modules(same);
        for path in modules {
            builder.push_module(path, "Block");
        }
        for (name, length, bytes) in tensors {
            builder.push_tensor(name, TensorKind::Param, "q4_k", [length, 3], bytes);
        }
        if let Ok(tree) = builder.build() {
            prop_assert!(plan(&tree, &request).is_ok());
        }
    }

    #[test]
    fn arbitrary_maps_are_resolved(
        tree in tree_with_ties(2),
        map in prop::collection::vec(("(m[0-3](\\.m[0-3]){0,2})?", "cpu|disk|sim:0|sim:1"), 0..6),
    ) {
        let answer = resolve_manual(&tree, &map);
        let uncovered = expand_to_tensors(&tree, &map).into_iter().filter(|(_, device)| device.is_none()).count();
        prop_assert!(answer.not_covered.len() <= uncovered);
        prop_assert_eq!(answer.hooks, map.iter().any(|(_, device)| *device != map[0].1));
    }

    #[test]
    fn arbitrary_sizes_are_read_or_refused(text in "\\PC{0,12}", unit in "([kKmMgG][iI]?[bB])?") {
        if let Ok(bytes) = parse_size(&format!("{text}{unit}")) {
            prop_assert!(bytes >= Amount::ZERO);
        }
    }
}
