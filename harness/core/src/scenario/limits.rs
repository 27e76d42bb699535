//! `[expect.limits]`: the most a case may take.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::problem::Problem;
use super::rules;
use super::value::{Named, Period, Size};
use crate::device::{DeviceBytes, DeviceId, LogicalDevice};
use crate::record::Limits;

/// The most a case may take. Times are medians over its measured generations; a figure that was not measured breaks its limit.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsTable {
    /// From the start of the process to the end of loading.
    pub load: Option<Period>,
    /// Time to the first token.
    pub ttft: Option<Period>,
    /// Time per token after the first.
    pub tpot: Option<Period>,
    /// From the start of a generation to its last token.
    pub e2e: Option<Period>,
    /// The slowest hop of a token after the first, from when its sender is done to when its receiver has everything.
    pub hop: Option<Period>,
    /// Peak memory by device.
    #[schemars(with = "Option<Named<Size>>")]
    pub peak_memory: Option<Named<Size>>,
}

/// The limits of a case.
pub(super) fn resolve_limits(
    table: &Spanned<LimitsTable>,
    devices: &[LogicalDevice],
    problems: &mut Vec<Problem>,
) -> Limits {
    let limits = table.get_ref();
    let seconds = |period: Option<Period>| period.map(|period| period.0.as_secs_f64());
    let mut peak_memory_bytes: Vec<DeviceBytes> = Vec::new();
    for (name, size) in limits.peak_memory.iter().flat_map(Named::iter) {
        match DeviceId::new(name.get_ref()) {
            Ok(device) => {
                rules::device_exists(&device, &name.span(), devices, problems);
                peak_memory_bytes.push(DeviceBytes { device, bytes: size.0 });
            }
            Err(error) => problems.push(Problem::at(name.span(), error.to_string())),
        }
    }
    let resolved = Limits {
        load_s: seconds(limits.load),
        ttft_s: seconds(limits.ttft),
        tpot_s: seconds(limits.tpot),
        e2e_s: seconds(limits.e2e),
        hop_s: seconds(limits.hop),
        peak_memory_bytes,
    };
    if resolved == Limits::default() {
        problems.push(
            Problem::at(table.span(), "limits is empty: nothing is limited")
                .hint("give at least one of load, ttft, tpot, e2e, hop, peak_memory"),
        );
    }
    resolved
}
