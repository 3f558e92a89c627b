//! Who is who on a connection: certificates that are read again when they
//! change, peers that are known by name.

mod client;
mod der;
mod files;
mod identity;
mod server;

pub(crate) use client::peer_config;
pub use identity::{CertificateInfo, ClientIdentity};
pub(crate) use server::{ServerTls, agreed};

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The one provider of cryptography, named where it is used so that nobody
/// depends on who installed a default first.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
