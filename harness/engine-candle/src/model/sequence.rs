//! What a generation keeps from step to step: caches, position tables, and what each link carried last.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Tensor};
use placebench_core::outcome::WorkerFailure;
use placebench_engine::Context;

use super::cache::{LayerCache, layer_cache_bytes};
use super::rope::RotaryTables;
use crate::config::ModelConfig;
use crate::device::{Devices, Ledger, Slot, Use};
use crate::error::EngineError;

/// The state of one generation.
#[derive(Debug)]
pub struct Sequence {
    pub(super) caches: Vec<LayerCache>,
    /// Made once on each device that has layers, never moved.
    pub(super) tables: BTreeMap<Slot, RotaryTables>,
    /// Positions so far.
    pub(super) len: usize,
    /// The length beyond which all positions, the cached ones too, turn by other frequencies.
    rope_switch: Option<usize>,
    /// What each hop delivered last; kept only where a fault asks for stale copies.
    pub(super) delivered: Option<HashMap<usize, Tensor>>,
}

impl Sequence {
    /// Allocates caches beside their layers and tables on every device with layers, for at most `capacity` positions.
    ///
    /// # Errors
    /// When a device has no room.
    pub fn allocate(
        config: &ModelConfig,
        layer_slots: &[Slot],
        capacity: usize,
        dtype: DType,
        devices: &Devices,
        ledger: &mut Ledger,
        context: &Context,
    ) -> Result<Self, WorkerFailure> {
        let failure = |error: EngineError| error.into_failure(context);
        let mut caches = Vec::with_capacity(layer_slots.len());
        let mut tables = BTreeMap::new();
        let (heads, width) = (config.num_kv_heads, config.head_dim);
        for (layer, &slot) in layer_slots.iter().enumerate() {
            let handle = devices.handle(slot);
            if let std::collections::btree_map::Entry::Vacant(vacant) = tables.entry(slot) {
                let bytes = RotaryTables::bytes_for(config, capacity, dtype);
                ledger.charge(context, slot, Use::Activations, bytes, "the position tables")?;
                let made = RotaryTables::new(config, capacity, dtype, handle);
                vacant.insert(
                    made.map_err(EngineError::candle("making position tables"))
                        .map_err(failure)?,
                );
            }
            let bytes = layer_cache_bytes(heads, capacity, width, dtype);
            let what = format!("the cache of model.layers.{layer}");
            ledger.charge(context, slot, Use::KvCache, bytes, &what)?;
            let cache = LayerCache::new(heads, capacity, width, dtype, handle);
            caches.push(cache.map_err(EngineError::candle(what)).map_err(failure)?);
        }
        let keeps_deliveries = context.fault_present(placebench_core::fault::FaultKind::StaleCopy);
        Ok(Self {
            caches,
            tables,
            len: 0,
            rope_switch: config.rope_switch(),
            delivered: keeps_deliveries.then(HashMap::new),
        })
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
        self.caches.iter_mut().for_each(LayerCache::clear);
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
