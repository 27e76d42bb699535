//! What a generation keeps from step to step: caches, position tables, and what each link carried last.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Tensor};
use placebench_core::outcome::WorkerFailure;
use placebench_engine::Context;

use super::cache::{LayerCache, layer_cache_bytes};
use super::rope::RotaryTables;
use crate::config::ModelConfig;
use crate::device::ledger::CacheCharge;
use crate::device::{Devices, Ledger, Slot, Use};
use crate::error::EngineError;

/// A cache with the memory it takes: given back together.
#[derive(Debug)]
struct ChargedCache {
    cache: LayerCache,
    _charge: CacheCharge,
}

/// The state of one sequence, or of a part of its layers.
#[derive(Debug)]
pub struct Sequence {
    caches: Vec<ChargedCache>,
    /// The layer of the first cache.
    first_layer: usize,
    /// Made once on each device that has layers, never moved. Sequences that are generated together share them.
    pub(super) tables: BTreeMap<Slot, RotaryTables>,
    /// Positions so far.
    pub(super) len: usize,
    /// The length beyond which all positions, the cached ones too, turn by other frequencies.
    rope_switch: Option<usize>,
    /// What each hop delivered last; kept only where a fault asks for stale copies.
    pub(super) delivered: Option<HashMap<usize, Tensor>>,
}

impl Sequence {
    /// Allocates caches beside their layers, one sequence for each capacity (in positions), and tables on every device with
    /// layers, as long as the longest needs.
    ///
    /// # Errors
    /// When a device has no room.
    pub fn allocate(
        config: &ModelConfig,
        layer_slots: &[Slot],
        capacities: &[usize],
        dtype: DType,
        devices: &Devices,
        ledger: &Ledger,
        context: &Context,
    ) -> Result<Vec<Self>, WorkerFailure> {
        let failure = |error: EngineError| error.into_failure(context);
        let longest = capacities.iter().copied().max().unwrap_or(0);
        let mut tables = BTreeMap::new();
        for &slot in layer_slots {
            if let Entry::Vacant(vacant) = tables.entry(slot) {
                let bytes = RotaryTables::bytes_for(config, longest, dtype);
                ledger.charge(context, slot, Use::Activations, bytes, "the position tables")?;
                let made = RotaryTables::new(config, longest, dtype, devices.handle(slot));
                let made = made.map_err(EngineError::candle("making position tables"));
                vacant.insert(made.map_err(failure)?);
            }
        }
        let (heads, width) = (config.num_kv_heads, config.head_dim);
        let keeps_deliveries = context.fault_present(placebench_core::fault::FaultKind::StaleCopy);
        let sequence = |&capacity: &usize| {
            let mut caches = Vec::with_capacity(layer_slots.len());
            for (layer, &slot) in layer_slots.iter().enumerate() {
                let bytes = layer_cache_bytes(heads, capacity, width, dtype);
                let what = format!("the cache of model.layers.{layer}");
                let charge = ledger.charge_cache(context, slot, bytes, &what)?;
                let cache = LayerCache::new(heads, capacity, width, dtype, devices.handle(slot));
                let cache = cache.map_err(EngineError::candle(what)).map_err(failure)?;
                caches.push(ChargedCache { cache, _charge: charge });
            }
            Ok(Self {
                caches,
                first_layer: 0,
                tables: tables.clone(),
                len: 0,
                rope_switch: config.rope_switch(),
                delivered: keeps_deliveries.then(HashMap::new),
            })
        };
        capacities.iter().map(sequence).collect()
    }

    /// The cache of a layer, where this part has it.
    pub(super) fn cache(&mut self, layer: usize) -> Option<&mut LayerCache> {
        let charged = self.caches.get_mut(layer.checked_sub(self.first_layer)?)?;
        Some(&mut charged.cache)
    }

    /// The same sequence in parts of so many layers each, for stages that keep their own.
    pub(crate) fn into_parts(self, layers: &[usize]) -> Vec<Self> {
        let (tables, delivered, len, rope_switch) = (self.tables, self.delivered, self.len, self.rope_switch);
        let mut caches = self.caches.into_iter();
        let mut first_layer = self.first_layer;
        let part = |&number: &usize| {
            let first = first_layer;
            first_layer += number;
            Self {
                caches: caches.by_ref().take(number).collect(),
                first_layer: first,
                tables: tables.clone(),
                len,
                rope_switch,
                delivered: delivered.clone(),
            }
        };
        layers.iter().map(part).collect()
    }

    /// True where `rows` more positions change how those turn that are cached: all have to be computed anew.
    #[must_use]
    pub fn is_outgrown_by(&self, rows: usize) -> bool {
        let outgrows = |switch: usize| (1..=switch).contains(&self.len) && self.len + rows > switch;
        self.rope_switch.is_some_and(outgrows)
    }

    /// Forgets all positions; what was allocated stays.
    pub fn restart(&mut self) {
        self.len = 0;
        self.caches.iter_mut().for_each(|charged| charged.cache.clear());
    }

    /// Positions so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True before the first step.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
