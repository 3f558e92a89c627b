//! Whether a delivery is from whom it says. One file a scheme; each looks only
//! at the headers, the raw bytes and the keys it is given. The gateway asks when
//! a delivery comes in, replay asks again when somebody wants proof.
//!
//! Whatever is wrong, the same work is done where that is possible: the MAC of
//! the body is computed under every valid key, every candidate is compared in
//! constant time, and staleness is looked at last.

mod answer;
mod bearer;
pub mod custom;
mod document;
mod github;
mod headers;
mod hubspot;
mod idempotency_key;
mod key;
mod mtls;
mod scheme;
mod sfmc_ens;
mod shopify;
mod slack;
mod standard_webhooks;
mod stripe;
mod verifier;
mod zapier;

pub use answer::{Auth, Authentic, Certificate, NotAuthentic, Presented, Reason};
pub use custom::Custom;
pub use document::{NoForm, document, is_form, is_json};
pub use idempotency_key::{MalformedKey, idempotency_key};
pub use key::Key;
pub use scheme::{Scheme, UnsupportedScheme};
pub use sfmc_ens::{Verification, verification};
pub use slack::challenge;
pub use verifier::{Unusable, Verifier};

/// Signatures looked at in one header. A sender that rotates sends two or three.
pub const MAX_SIGNATURES: usize = 64;
