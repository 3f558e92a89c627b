//! Secrets at rest. AES-256-GCM under one key a deployment, which comes from
//! the settings, from a file they name, or from `vault.key` in the data directory.
//!
//! A sealed text is the base64 of a random 96-bit nonce and the ciphertext with
//! its tag. It is bound to its context (`<kind>/<resource id>/<secret id>`), so
//! that a sealed secret moved to another resource does not open.

mod error;
mod key;
mod vault;

pub use error::Error;
pub use key::{KEY_FILE_NAME, create_key_file};
pub use vault::Vault;
pub use zeroize::Zeroizing;
