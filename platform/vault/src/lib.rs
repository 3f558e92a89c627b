//! Secrets at rest: AES-256-GCM.
