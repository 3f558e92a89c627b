use domain_kernel::{DecisionId, Json};
use serde::{Deserialize, Serialize};

use crate::InvalidDecision;

/// The events of `mesh.decisions`; the stream is the correlation id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyEvent {
    Decided(PolicyDecided),
}

/// One question to policy and its answer, complete enough to ask it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDecided {
    pub decision_id: DecisionId,
    /// The rule asked for, as in OPA's data API: `mesh/ingest`.
    pub path: String,
    /// `sha256:` and the lowercase hexadecimal digest of the bundle.
    pub bundle_digest: String,
    pub input: Json,
    /// None when the rule was undefined, which means deny.
    pub result: Option<Json>,
    pub allow: bool,
    /// Why, as the policy worded it; for the auditor.
    pub reasons: Vec<String>,
    /// The engine and its version: `regorus 0.14.1`.
    pub engine: String,
    /// Microseconds.
    pub duration_us: u64,
}

impl PolicyDecided {
    /// Policy fails closed: an undefined rule never allows.
    ///
    /// # Errors
    /// When the decision allows although the rule was undefined.
    pub fn check(&self) -> Result<(), InvalidDecision> {
        if self.allow && self.result.is_none() {
            return Err(InvalidDecision::AllowWithoutResult {
                decision_id: self.decision_id.to_string(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undefined_rule_never_allows() {
        let decided = PolicyDecided {
            decision_id: DecisionId::derive(&["d"]),
            path: "mesh/ingest".to_owned(),
            bundle_digest: "sha256:00".to_owned(),
            input: Json::from_text("{}"),
            result: None,
            allow: true,
            reasons: Vec::new(),
            engine: "regorus 0.14.1".to_owned(),
            duration_us: 1,
        };
        assert!(decided.check().is_err());
        assert_eq!(
            PolicyDecided {
                allow: false,
                ..decided
            }
            .check(),
            Ok(())
        );
    }
}
