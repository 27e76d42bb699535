//! What stands beside a device's bars, and what they tell a pointer.

use placebench_core::units::Bytes;

use crate::view::memory::MemoryView;

/// The figures of a row.
pub(super) struct Words {
    /// `3.56 MiB of 16.0 MiB`, `22 %`, `12 % over plan`; empty where there is nothing to say.
    pub(super) columns: [String; 3],
    /// More than is allowed was used or asked for.
    pub(super) is_alarm: bool,
}

impl Words {
    /// `source`: who sets the budgets of all devices; where that is not one, each budget says it.
    pub(super) fn of(device: &MemoryView, source: &str) -> Self {
        let [weights, _, peak, budget] = &device.words;
        let used = match (device.peak, device.weights, planned_peak(device)) {
            (Some(_), ..) => peak.clone(),
            (None, Some(_), _) => format!("weights {weights}"),
            (None, None, Some(planned)) => format!("planned {planned}"),
            (None, None, None) => "not measured".into(),
        };
        let used = match device.budget {
            Some(_) if source.is_empty() => format!("{used} of {budget} ({})", device.source),
            Some(_) => format!("{used} of {budget}"),
            None => format!("{used}, no budget"),
        };
        Self {
            columns: [used, device.share.clone(), device.off_plan().unwrap_or_default()],
            is_alarm: device.utilisation().is_some_and(|share| share > 1.0),
        }
    }

    /// All of them in a line.
    pub(super) fn joined(&self) -> String {
        let said = self.columns.iter().filter(|words| !words.is_empty());
        said.map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// What was planned for a device: its peak, or if that is not known, its weights.
fn planned_peak(device: &MemoryView) -> Option<Bytes> {
    let planned = device.planned?;
    planned.peak.or(planned.weights)
}

/// `sim:0, weights: 3.51 MiB, planned 3.40 MiB`.
pub(super) fn segment_hover(
    device: &MemoryView,
    name: &str,
    measured: Option<Bytes>,
    planned: Option<Bytes>,
) -> String {
    let figures = match (measured, planned) {
        (Some(measured), Some(planned)) if measured == planned => format!("{measured}, as planned"),
        (Some(measured), Some(planned)) => format!("{measured}, planned {planned}"),
        (Some(measured), None) => measured.to_string(),
        (None, Some(planned)) => format!("planned {planned}, not measured"),
        (None, None) => "not measured".into(),
    };
    format!("{}, {name}: {figures}", device.device)
}

/// `sim:0, head-room: 12.4 MiB of 16.0 MiB (logical device)`.
pub(super) fn row_hover(device: &MemoryView) -> String {
    let name = &device.device;
    let held = device.peak.or(device.weights);
    match (device.budget, held) {
        (Some(budget), Some(held)) if held > budget => {
            let over = Bytes(held.0 - budget.0);
            format!("{name}: {over} more than its {budget} ({})", device.source)
        }
        (Some(budget), Some(held)) => {
            let room = Bytes(budget.0 - held.0);
            format!("{name}, head-room: {room} of {budget} ({})", device.source)
        }
        (Some(budget), None) => format!("{name}: may hold {budget} ({}), not measured", device.source),
        (None, Some(held)) => format!("{name}: {held}, no budget"),
        (None, None) => format!("{name}: not measured, no budget"),
    }
}
