//! A decoder with a device for every module.

use std::ops::Range;

use thiserror::Error;

use super::resolve::DeviceMap;
use super::shape_decoder::Decoder;

/// Modules and their devices; there is one for each.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedDecoder<'d, D> {
    decoder: &'d Decoder,
    devices: Vec<D>,
}

/// A module without a device.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the device map gives no device for module `{module}` as a whole")]
pub struct NotPlaced {
    /// The module.
    pub module: String,
}

impl<'d, D: Clone + PartialEq> PlacedDecoder<'d, D> {
    /// Looks up every module of the decoder in a map.
    ///
    /// # Errors
    /// With the first module that no key covers, because the map leaves it out or divides it.
    pub fn new(decoder: &'d Decoder, map: &[(String, D)]) -> Result<Self, NotPlaced> {
        let map = DeviceMap::new(map);
        let devices = decoder.modules.iter().map(|module| {
            let device = map.device_of(&module.path).cloned();
            device.ok_or_else(|| NotPlaced {
                module: module.path.clone(),
            })
        });
        Ok(Self {
            decoder,
            devices: devices.collect::<Result<_, _>>()?,
        })
    }

    /// Places the modules at these ranges; `None` unless the ranges cover all modules in order.
    pub(super) fn from_ranges(decoder: &'d Decoder, ranges: &[(Range<usize>, D)]) -> Option<Self> {
        let mut devices = Vec::with_capacity(decoder.modules.len());
        for (range, device) in ranges {
            if range.start != devices.len() {
                return None;
            }
            devices.extend(range.clone().map(|_| device.clone()));
        }
        (devices.len() == decoder.modules.len()).then_some(Self { decoder, devices })
    }

    /// The decoder.
    #[must_use]
    pub fn decoder(&self) -> &'d Decoder {
        self.decoder
    }

    /// The device of every module, in order of execution.
    #[must_use]
    pub fn devices(&self) -> &[D] {
        &self.devices
    }

    /// Every module's path with its device, in order of execution.
    #[must_use]
    pub fn device_map(&self) -> Vec<(String, D)> {
        let paths = self.decoder.modules.iter().map(|module| module.path.clone());
        paths.zip(self.devices.iter().cloned()).collect()
    }

    /// The stages: positions of consecutive modules on one device.
    #[must_use]
    pub fn stage_ranges(&self) -> Vec<(Range<usize>, D)> {
        let mut start = 0;
        let runs = self.devices.chunk_by(PartialEq::eq);
        runs.filter_map(|run| {
            let range = start..start + run.len();
            start = range.end;
            Some((range, run.first()?.clone()))
        })
        .collect()
    }

    /// The devices in order of first use, each with the positions of its modules.
    #[must_use]
    pub fn modules_per_device(&self) -> Vec<(D, Vec<usize>)> {
        let mut used: Vec<(D, Vec<usize>)> = Vec::new();
        for (position, device) in self.devices.iter().enumerate() {
            match used.iter_mut().find(|(known, _)| known == device) {
                Some((_, positions)) => positions.push(position),
                None => used.push((device.clone(), vec![position])),
            }
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::shape_testing::{decoder, map};

    #[test]
    fn devices_follow_the_map() {
        let decoder = decoder(2, false);
        let pairs = map([("model", "a"), ("model.layers.1", "b")]);
        let missing = PlacedDecoder::new(&decoder, &pairs).unwrap_err();
        assert_eq!(missing.module, "lm_head");
        let pairs = [pairs, map([("lm_head", "b")])].concat();
        let placed = PlacedDecoder::new(&decoder, &pairs).unwrap();
        assert_eq!(placed.devices(), ["a", "a", "b", "a", "b"]);
        assert_eq!(
            placed.stage_ranges(),
            [(0..2, "a"), (2..3, "b"), (3..4, "a"), (4..5, "b")]
        );
        assert_eq!(placed.modules_per_device(), [("a", vec![0, 1, 3]), ("b", vec![2, 4])]);
        assert_eq!(PlacedDecoder::from_ranges(&decoder, &[(0..2, "a"), (3..6, "b")]), None);
        assert_eq!(PlacedDecoder::from_ranges(&decoder, &[(0..4, "a")]), None);
    }
}
