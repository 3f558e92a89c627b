//! Rego evaluation: bundles, digests, decisions.
