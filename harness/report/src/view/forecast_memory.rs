//! Planned memory beside measured memory, device by device.

use placebench_core::planner::Forecast;
use placebench_core::protocol::MemoryKind;
use placebench_core::record::CaseMetrics;
use placebench_core::units::Bytes;
use serde::Serialize;

use super::steps::colour_of;
use super::words::line;

/// Memory of a device: one kind of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryTermView {
    /// The device.
    pub device: String,
    /// Its position among the devices of the run.
    pub colour: usize,
    /// `weights`, `KV cache` or `peak`.
    pub kind: &'static str,
    /// It is the most that was in use at once, which holds the others.
    #[serde(skip)]
    pub is_peak: bool,
    /// What was planned.
    #[serde(skip)]
    pub planned_bytes: Bytes,
    /// What was measured.
    #[serde(skip)]
    pub measured_bytes: Option<Bytes>,
    /// The plan in words.
    pub planned: String,
    /// The measurement in words; `–` where there is none.
    pub measured: String,
    /// `+1.00 MiB (+12 %)`, `none`, `–`.
    pub difference: String,
}

/// Weights, cache and peak of every device that was planned for.
pub(super) fn view(forecast: &Forecast, metrics: &CaseMetrics, devices: &[String]) -> Vec<MemoryTermView> {
    let mut terms = Vec::new();
    for planned in &forecast.footprint.devices {
        let kinds = [
            (MemoryKind::Weights, "weights", planned.weights_bytes),
            (MemoryKind::KvCache, "KV cache", planned.kv_cache_bytes),
            (MemoryKind::Peak, "peak", planned.total_bytes),
        ];
        for (kind, name, planned_bytes) in kinds {
            let mut measured = metrics.memory_forecast.iter();
            let measured = measured.find(|entry| entry.device == planned.device && entry.kind == kind);
            let measured_bytes = measured.map(|entry| entry.measured_bytes);
            terms.push(MemoryTermView {
                device: line(planned.device.as_str()),
                colour: colour_of(&planned.device, devices),
                kind: name,
                is_peak: kind == MemoryKind::Peak,
                planned_bytes,
                measured_bytes,
                planned: planned_bytes.to_string(),
                measured: measured_bytes.map_or_else(|| "–".into(), |bytes| bytes.to_string()),
                difference: measured_bytes.map_or_else(|| "–".into(), |bytes| difference(planned_bytes, bytes)),
            });
        }
    }
    terms
}

/// `+12.0 KiB (+3 %)`; without percent where nothing was planned.
fn difference(planned: Bytes, measured: Bytes) -> String {
    if planned == measured {
        return "none".into();
    }
    let sign = if measured > planned { '+' } else { '−' };
    let apart = Bytes(measured.0.abs_diff(planned.0));
    if planned.0 == 0 {
        return format!("{sign}{apart}");
    }
    let percent = apart.as_f64() / planned.as_f64() * 100.0;
    let percent = if percent < 0.95 {
        "below 1".into()
    } else {
        format!("{sign}{percent:.0}")
    };
    format!("{sign}{apart} ({percent} %)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_a_sign() {
        let shown = [
            (0, 0),
            (1024, 2048),
            (2048, 1024),
            (0, 1024),
            (1 << 20, (1 << 20) + 1024),
        ]
        .map(|(planned, measured)| difference(Bytes(planned), Bytes(measured)));
        assert_eq!(
            shown,
            [
                "none",
                "+1.00 KiB (+100 %)",
                "−1.00 KiB (−50 %)",
                "+1.00 KiB",
                "+1.00 KiB (below 1 %)"
            ]
        );
    }
}
