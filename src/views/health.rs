//! Responses of the health probes.

use serde::Serialize;

use crate::health::Fault;

/// The response of the liveness probe: the process is running.
#[derive(Serialize)]
pub struct Liveness {
    ok: bool,
}

impl Default for Liveness {
    fn default() -> Self {
        Self { ok: true }
    }
}

/// The response of the readiness probe: ready or not, and the reasons.
#[derive(Serialize)]
pub struct Readiness {
    ok: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'static str>,
}

impl Readiness {
    #[must_use]
    pub fn new(faults: &[Fault]) -> Self {
        Self {
            ok: faults.is_empty(),
            reasons: faults.iter().map(|fault| fault.code()).collect(),
        }
    }
}
