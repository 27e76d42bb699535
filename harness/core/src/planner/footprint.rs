//! Memory on each device, counted as it is used and not only as it is stored.
//!
//! Planners that look at weights alone overfill a device that also holds caches, working sets and logits. A footprint
//! has these as separate terms, so that each can be compared with what is measured.

use serde::{Deserialize, Serialize};

use super::footprint_workload::{Need, Workload, product};
use super::shape_decoder::Decoder;
use super::shape_placed::PlacedDecoder;
use crate::units::Bytes;

/// Bytes on one device while a request runs, at its fullest moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DeviceFootprint<D> {
    /// The device.
    pub device: D,
    /// Weights. A tied tensor counts once where both its modules are here.
    pub weights_bytes: Bytes,
    /// Keys and values of this device's layers for complete sequences.
    pub kv_cache_bytes: Bytes,
    /// The largest working set of a module.
    pub activation_bytes: Bytes,
    /// Logits, where the head is.
    pub logits_bytes: Bytes,
    /// All of these.
    pub total_bytes: Bytes,
    /// What may be used; `None` where nothing limits it.
    pub budget_bytes: Option<Bytes>,
    /// What is left or missing.
    pub room: Room,
    /// The first length of the sequences, in positions, at which this device is over its budget; `None` where that never
    /// happens within the positions the model was made for.
    pub exhausted_at_token: Option<u64>,
}

/// The difference between a budget and what is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Room {
    /// There is no budget.
    Unlimited,
    /// So much is left, which may be nothing.
    Headroom(Bytes),
    /// So much is missing.
    Deficit(Bytes),
}

impl Room {
    /// What is left of a budget when `needed` is used.
    #[must_use]
    pub fn of(budget: Option<Bytes>, needed: Bytes) -> Self {
        match budget {
            None => Self::Unlimited,
            Some(budget) if needed <= budget => Self::Headroom(Bytes(budget.0 - needed.0)),
            Some(budget) => Self::Deficit(Bytes(needed.0 - budget.0)),
        }
    }

    /// The bytes that are missing; zero where it fits.
    #[must_use]
    pub fn deficit(self) -> Bytes {
        match self {
            Self::Deficit(bytes) => bytes,
            Self::Unlimited | Self::Headroom(_) => Bytes(0),
        }
    }
}

/// A placement in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Footprint<D> {
    /// The devices that are used, in order of first use.
    pub devices: Vec<DeviceFootprint<D>>,
    /// How often a token's hidden state changes the device: one less than there are stages.
    pub hops_per_token: u64,
    /// What one hop moves for the prompt.
    pub prefill_hop_bytes: Bytes,
    /// What one hop moves for each token after it.
    pub decode_hop_bytes: Bytes,
    /// What all hops move for one token.
    pub transfer_bytes_per_token: Bytes,
}

impl<D> Footprint<D> {
    /// True where every device keeps its budget.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.devices.iter().all(|device| device.room.deficit() == Bytes(0))
    }
}

/// Counts what a placement needs on each device. The last budget wins where a device occurs twice; a device without one
/// is unlimited.
#[must_use]
pub fn footprint<D: Clone + PartialEq>(
    placed: &PlacedDecoder<'_, D>,
    workload: &Workload,
    budgets: &[(D, Bytes)],
) -> Footprint<D> {
    let decoder = placed.decoder();
    let devices = placed.modules_per_device().into_iter().map(|(device, modules)| {
        let budget = budgets.iter().rev().find(|(known, _)| *known == device);
        on_device(decoder, workload, device, &modules, budget.map(|&(_, bytes)| bytes))
    });
    let hops = placed.stage_ranges().len().saturating_sub(1) as u64;
    let decode = workload.hidden_bytes(&decoder.shape, 1);
    Footprint {
        devices: devices.collect(),
        hops_per_token: hops,
        prefill_hop_bytes: Bytes(workload.hidden_bytes(&decoder.shape, workload.prompt_tokens)),
        decode_hop_bytes: Bytes(decode),
        transfer_bytes_per_token: Bytes(product([hops, decode])),
    }
}

fn on_device<D>(
    decoder: &Decoder,
    workload: &Workload,
    device: D,
    modules: &[usize],
    budget: Option<Bytes>,
) -> DeviceFootprint<D> {
    let need = need(decoder, workload, modules, workload.sequence_tokens());
    let total = Bytes(need.total());
    DeviceFootprint {
        device,
        weights_bytes: Bytes(need.weights),
        kv_cache_bytes: Bytes(need.kv_cache),
        activation_bytes: Bytes(need.activations),
        logits_bytes: Bytes(need.logits),
        total_bytes: total,
        budget_bytes: budget,
        room: Room::of(budget, total),
        exhausted_at_token: budget.and_then(|budget| exhausted_at(decoder, workload, modules, budget)),
    }
}

/// What modules at these positions need together on one device when sequences have `kv_tokens` positions.
pub(super) fn need(decoder: &Decoder, workload: &Workload, modules: &[usize], kv_tokens: u64) -> Need {
    let needs = modules
        .iter()
        .filter_map(|&position| decoder.modules.get(position))
        .map(|module| Need::of(module, decoder, workload, kv_tokens));
    let need = needs.fold(Need::default(), Need::and);
    match decoder.tie {
        Some(tie) if modules.contains(&tie.embedding) && modules.contains(&tie.head) => need.sharing(tie.bytes.0),
        _ => need,
    }
}

/// The smallest number of positions whose need is above the budget. The need never falls with the length, so halving
/// finds it.
fn exhausted_at(decoder: &Decoder, workload: &Workload, modules: &[usize], budget: Bytes) -> Option<u64> {
    let is_over = |tokens: u64| need(decoder, workload, modules, tokens).total() > budget.0;
    let last = decoder.shape.max_positions;
    if !is_over(last) {
        return None;
    }
    let (mut fits_below, mut over_at) = (0, last);
    while fits_below < over_at {
        let middle = fits_below + (over_at - fits_below) / 2;
        if is_over(middle) {
            over_at = middle;
        } else {
            fits_below = middle + 1;
        }
    }
    Some(over_at)
}

/// The whole number nearest to a non-negative float, the largest where it is above.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from float to integer stops at the ends of the range"
)]
pub(super) fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::shape_testing::{decoder, map, workload};

    /// Embedding and first layer on `a`, the rest on `b`.
    fn halves(tied: bool, budgets: &[(&'static str, Bytes)]) -> Footprint<&'static str> {
        let decoder = decoder(2, tied);
        let map = map([("", "b"), ("model.embed_tokens", "a"), ("model.layers.0", "a")]);
        footprint(&PlacedDecoder::new(&decoder, &map).unwrap(), &workload(), budgets)
    }

    #[test]
    fn every_term_is_counted() {
        let footprint = halves(false, &[("a", Bytes(9000)), ("b", Bytes(1)), ("b", Bytes(9240))]);
        let [a, b] = footprint.devices.as_slice() else {
            panic!("two devices")
        };
        assert_eq!((a.weights_bytes.0, a.kv_cache_bytes.0), (3200 + 768, 20 * 32));
        // A layer over the prompt: 2 x 10 x 8, queries to output 10 x 6 x 4, scores and repeated keys 2 x 2 x 10 x 14.
        assert_eq!(a.activation_bytes.0, (160 + 240 + 560) * 4);
        assert_eq!((a.logits_bytes.0, b.logits_bytes.0), (0, 100 * 8));
        assert_eq!((a.total_bytes.0, a.room), (8448, Room::Headroom(Bytes(552))));
        assert_eq!(b.weights_bytes.0, 768 + 32 + 3200);
        assert_eq!((b.total_bytes.0, b.room), (9280, Room::Deficit(Bytes(40))));
        assert!(!footprint.fits());
        assert_eq!(footprint.hops_per_token, 1);
        assert_eq!((footprint.prefill_hop_bytes.0, footprint.decode_hop_bytes.0), (320, 32));
        assert_eq!(footprint.transfer_bytes_per_token.0, 32);
    }

    #[test]
    fn a_growing_cache_ends_at_the_first_token_that_does_not_fit() {
        let at = |bytes| halves(false, &[("a", Bytes(bytes))]).devices[0].exhausted_at_token;
        // 7808 bytes and 32 for each position, as long as the prompt's working set is the largest.
        assert_eq!(at(9000), Some(38));
        assert_eq!(at(7808 + 32), Some(2));
        assert_eq!(at(7808), Some(1));
        assert_eq!(at(7807), Some(0));
        // Later the working set of a token over so many positions is: 4128 bytes and 112 for each position.
        assert_eq!(at(12_000), Some(71));
        assert_eq!(at(4128 + 112 * 1000), None);
        assert_eq!(at(4128 + 112 * 1000 - 1), Some(1000));
    }

    #[test]
    fn a_tied_head_costs_nothing_beside_its_embedding_only() {
        let apart = halves(true, &[]);
        assert_eq!(
            apart.devices[0].weights_bytes.0 + apart.devices[1].weights_bytes.0,
            6400 + 1536 + 32
        );
        assert_eq!(apart.devices[0].room, Room::Unlimited);
        let decoder = decoder(2, true);
        let ring = map([("", "a"), ("model.layers", "b"), ("model.norm", "b")]);
        let ring = footprint(&PlacedDecoder::new(&decoder, &ring).unwrap(), &workload(), &[]);
        assert_eq!(ring.devices[0].weights_bytes.0, 3200);
        assert_eq!((ring.devices.len(), ring.hops_per_token), (2, 2));
    }

    #[test]
    fn a_larger_batch_needs_more_of_everything_but_weights() {
        let decoder = decoder(2, false);
        let map = map([("", "a")]);
        let placed = PlacedDecoder::new(&decoder, &map).unwrap();
        let batch = Workload { batch: 3, ..workload() };
        let one = footprint(&placed, &workload(), &[]).devices.remove(0);
        let three = footprint(&placed, &batch, &[]).devices.remove(0);
        assert_eq!(three.weights_bytes, one.weights_bytes);
        assert_eq!(three.kv_cache_bytes.0, 3 * one.kv_cache_bytes.0);
        assert_eq!(three.activation_bytes.0, 3 * one.activation_bytes.0);
        assert_eq!(three.logits_bytes.0, 3 * one.logits_bytes.0);
    }
}
