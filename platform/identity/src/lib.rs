//! Who is calling, found out the same way by every role that answers HTTP: an
//! API key, a token of an OpenID Connect issuer, or a client certificate.
//!
//! What is registered comes through [`Directory`], so that this crate knows
//! neither the registry nor its events. Whatever fails, the caller gets one and
//! the same 401; the metrics and the log say which it was.

mod asking;
mod caller;
mod directory;
mod identity;
mod jwks;
mod key;
mod layer;
mod problems;
mod token;
mod used;

pub use asking::Asking;
pub use caller::{Caller, Method};
pub use directory::{Directory, KnownCertificate, KnownIssuer, KnownKey};
pub use identity::Identity;
pub use key::{Minted, mint};
pub use layer::protect;
pub use problems::{insufficient_scope, not_authentic};
pub use used::Used;
