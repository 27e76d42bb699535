//! The engines of this crate, by name.

use placebench_core::fault::FaultKind;
use placebench_core::outcome::WorkerFailure;
use placebench_core::placement::Concurrency;
use placebench_core::protocol::WorkerRequest;
use placebench_engine::{Context, Engine, Session};

use crate::fault;
use crate::reference::ReferenceEngine;
use crate::session::CandleSession;

/// The version of the candle crates; a test compares it with the lock file.
pub const CANDLE_VERSION: &str = "0.11.1";

/// The engines of this crate.
#[must_use]
pub fn engines() -> [&'static dyn Engine; 2] {
    [&CandleEngine, &ReferenceEngine]
}

/// The placed decoder: `engine = "candle"`.
#[derive(Debug, Clone, Copy, Default)]
pub struct CandleEngine;

impl Engine for CandleEngine {
    fn name(&self) -> &'static str {
        "candle"
    }

    fn versions(&self) -> Vec<String> {
        let mut versions = vec![
            format!("placebench-engine-candle {}", env!("CARGO_PKG_VERSION")),
            format!("candle-core {CANDLE_VERSION}"),
        ];
        for (built_in, name) in [(cfg!(feature = "cuda"), "cuda"), (cfg!(feature = "metal"), "metal")] {
            if built_in {
                versions.push(format!("candle-core feature {name}"));
            }
        }
        versions
    }

    fn supports_fault(&self, kind: FaultKind) -> bool {
        fault::is_supported(kind)
    }

    fn supports_concurrency(&self, _concurrency: Concurrency) -> bool {
        true
    }

    fn supports_audit(&self) -> bool {
        true
    }

    fn open(&self, request: &WorkerRequest, context: &mut Context) -> Result<Box<dyn Session>, WorkerFailure> {
        Ok(Box::new(CandleSession::open(request, context)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_locked_one() {
        let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).unwrap();
        for name in ["candle-core", "candle-nn", "candle-transformers"] {
            let entry = format!("name = \"{name}\"\nversion = \"{CANDLE_VERSION}\"");
            assert!(lock.contains(&entry), "{name} is locked at another version");
        }
    }
}
