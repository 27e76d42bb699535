//! Tensors that know which device of the placement they are on.
//!
//! candle's CPU has no handle of its own, and two handles of one GPU pass for the same place, so candle would not notice
//! a forgotten transfer between logical devices. Here the tensor inside can be had only by naming the device it is used
//! on.

use candle_core::{Device, Tensor};
use placebench_core::placement::Transfer;

use super::{Devices, Slot};
use crate::error::EngineError;
use crate::model::linear::{copy_tensor, tensor_bytes};

/// A tensor on a device of the placement.
#[derive(Debug, Clone)]
pub struct Placed {
    tensor: Tensor,
    slot: Slot,
}

impl Placed {
    /// A tensor that was made on `slot`.
    #[must_use]
    pub fn made_on(slot: Slot, tensor: Tensor) -> Self {
        Self { tensor, slot }
    }

    /// The tensor, for use on `slot`.
    ///
    /// # Errors
    /// When it is on another device: it has to be moved first.
    pub fn on(&self, slot: Slot, devices: &Devices) -> Result<&Tensor, EngineError> {
        if self.slot == slot {
            Ok(&self.tensor)
        } else {
            Err(EngineError::WrongDevice {
                found: devices.id(self.slot).clone(),
                expected: devices.id(slot).clone(),
            })
        }
    }

    /// Where it is.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Its first dimension; 1 for a scalar.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.tensor.dims().first().copied().unwrap_or(1)
    }

    /// Bytes a copy of it moves: its elements, not the storage behind a view.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        tensor_bytes(&self.tensor)
    }

    /// What is made of the tensor on the host.
    ///
    /// # Errors
    /// When `read` cannot read it.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Tensor) -> candle_core::Result<T>) -> candle_core::Result<T> {
        read(&self.tensor)
    }

    /// The same device, other contents.
    ///
    /// # Errors
    /// When `change` cannot be computed.
    pub(crate) fn map(&self, change: impl FnOnce(&Tensor) -> candle_core::Result<Tensor>) -> Result<Self, EngineError> {
        let tensor = change(&self.tensor).map_err(EngineError::candle("a tensor operation"))?;
        Ok(Self {
            tensor,
            slot: self.slot,
        })
    }

    /// A copy on another device, in a buffer of its own even where both are slices of the same physical device.
    ///
    /// # Errors
    /// When a backend cannot copy.
    pub fn moved_to(&self, slot: Slot, transfer: Transfer, devices: &Devices) -> Result<Self, EngineError> {
        let target = devices.handle(slot);
        let copied = match transfer {
            Transfer::Direct => copy_tensor(&self.tensor, target),
            Transfer::Host => copy_tensor(&self.tensor, &Device::Cpu).and_then(|staged| copy_tensor(&staged, target)),
        };
        Ok(Self {
            tensor: copied.map_err(EngineError::candle("a copy between devices"))?,
            slot,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tests::two_logical_devices;
    use candle_core::DType;

    #[test]
    fn use_on_another_device_needs_a_transfer() {
        let devices = two_logical_devices();
        let [a, b] = [Slot(1), Slot(2)];
        let x = Placed::made_on(a, Tensor::ones(3, DType::F32, &Device::Cpu).unwrap());
        assert!(x.on(a, &devices).is_ok());
        assert!(matches!(x.on(b, &devices), Err(EngineError::WrongDevice { .. })));
        assert!(
            x.moved_to(b, Transfer::Direct, &devices)
                .unwrap()
                .on(b, &devices)
                .is_ok()
        );
    }

    #[test]
    fn a_move_between_slices_of_one_device_really_copies() {
        let devices = two_logical_devices();
        for transfer in [Transfer::Direct, Transfer::Host] {
            let source = Tensor::ones((2, 2), DType::F32, &Device::Cpu).unwrap();
            let moved = Placed::made_on(Slot(1), source.narrow(0, 1, 1).unwrap())
                .moved_to(Slot(2), transfer, &devices)
                .unwrap();
            source
                .slice_set(&Tensor::zeros((2, 2), DType::F32, &Device::Cpu).unwrap(), 0, 0)
                .unwrap();
            assert_eq!(moved.bytes(), 8);
            assert_eq!(
                moved.on(Slot(2), &devices).unwrap().to_vec2::<f32>().unwrap(),
                [[1.0, 1.0]],
                "{transfer:?}"
            );
        }
    }
}
