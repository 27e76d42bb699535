//! A plan's forecast: what a placement is expected to need and to take, kept with the record so that it can be held
//! against what was measured.

use serde::{Deserialize, Serialize};

use super::footprint::{Footprint, footprint};
use super::footprint_workload::Workload;
use super::predict::{Objective, Prediction, predict};
use super::predict_rates::Rates;
use super::shape_placed::PlacedDecoder;
use crate::device::DeviceId;
use crate::units::Bytes;

/// What a placement is expected to need and to take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Forecast {
    /// The request it is made for.
    pub workload: Workload,
    /// What was minimised, where the placement was chosen by its prediction.
    pub objective: Option<Objective>,
    /// Bytes per device.
    pub footprint: Footprint<DeviceId>,
    /// Seconds per stage and hop. Absent where nobody said how fast the devices are: equal devices give no seconds that
    /// mean anything.
    pub prediction: Option<Prediction<DeviceId>>,
}

/// Foresees memory, and time where rates are known.
#[must_use]
pub fn forecast(
    placed: &PlacedDecoder<'_, DeviceId>,
    workload: &Workload,
    budgets: &[(DeviceId, Bytes)],
    rates: Option<&Rates<DeviceId>>,
    objective: Option<Objective>,
) -> Forecast {
    Forecast {
        workload: *workload,
        objective,
        footprint: footprint(placed, workload, budgets),
        prediction: rates.map(|rates| predict(placed, workload, rates)),
    }
}
