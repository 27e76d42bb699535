//! A module together with where its weights are and where it runs.

use std::ops::Deref;

use candle_core::Device;

use super::block::Module;
use crate::device::{Devices, Slot};
use crate::error::EngineError;
use crate::weights::WeightsError;

/// Where a module's weights are and where it is computed. The two differ for offloaded modules only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Home {
    /// Where the weights stay between uses; `None`: in their file.
    pub weights: Option<Slot>,
    /// Where the module is computed.
    pub runs_on: Slot,
}

impl Home {
    /// A module that runs where its weights are.
    #[must_use]
    pub fn at(slot: Slot) -> Self {
        Self {
            weights: Some(slot),
            runs_on: slot,
        }
    }

    /// True where weights have to be fetched for each use.
    #[must_use]
    pub fn is_fetched(self) -> bool {
        self.weights != Some(self.runs_on)
    }
}

/// A loaded module.
#[derive(Debug)]
pub struct Homed<M> {
    home: Home,
    /// Absent for modules that stay in their file.
    resident: Option<M>,
    /// Bytes of the weights, read back when they were loaded.
    bytes: u64,
    /// The weights are another module's, counted there.
    shared: bool,
}

/// A module ready for use: the resident one, or a copy fetched for this use.
pub enum Ready<'a, M> {
    /// Already there.
    Resident(&'a M),
    /// Fetched.
    Fetched(Box<M>),
}

impl<M> Deref for Ready<'_, M> {
    type Target = M;

    fn deref(&self) -> &M {
        match self {
            Self::Resident(module) => module,
            Self::Fetched(module) => module,
        }
    }
}

impl<M: Module> Homed<M> {
    /// Loads a module for its home. What stays in its file is read once, so that a broken file is found now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(
        home: Home,
        devices: &Devices,
        load: impl FnOnce(&Device) -> Result<M, WeightsError>,
    ) -> Result<Self, EngineError> {
        let module = load(devices.handle(home.weights.unwrap_or(Slot::CPU)))?;
        Ok(Self {
            home,
            bytes: module.bytes(),
            resident: home.weights.map(|_| module),
            shared: false,
        })
    }

    /// A module that uses the tensors of another one at the same home.
    pub fn sharing(home: Home, module: M) -> Self {
        Self {
            home,
            bytes: module.bytes(),
            resident: home.weights.map(|_| module),
            shared: true,
        }
    }

    /// Where it is and runs.
    pub fn home(&self) -> Home {
        self.home
    }

    /// The module, where it stays loaded.
    pub fn resident(&self) -> Option<&M> {
        self.resident.as_ref()
    }

    /// Bytes it takes where its weights are: 0 where they are another module's.
    pub fn own_bytes(&self) -> u64 {
        if self.shared { 0 } else { self.bytes }
    }

    /// Bytes that have to be fetched for a use.
    pub fn fetched_bytes(&self) -> u64 {
        if self.home.is_fetched() { self.bytes } else { 0 }
    }

    /// The module on the device where it runs.
    ///
    /// # Errors
    /// When it cannot be read or copied.
    pub fn ready(
        &self,
        devices: &Devices,
        load: impl FnOnce(&Device) -> Result<M, WeightsError>,
    ) -> Result<Ready<'_, M>, EngineError> {
        let device = devices.handle(self.home.runs_on);
        match &self.resident {
            Some(module) if !self.home.is_fetched() => Ok(Ready::Resident(module)),
            Some(module) => {
                let copy = module
                    .copy_to(device)
                    .map_err(EngineError::candle("copying offloaded weights"))?;
                Ok(Ready::Fetched(Box::new(copy)))
            }
            None => Ok(Ready::Fetched(Box::new(load(device)?))),
        }
    }
}
