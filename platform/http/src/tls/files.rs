//! Values made of files, made again when the files change.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use metrics::counter;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tracing::{info, warn};

use super::{CertificateInfo, provider};
use crate::Error;

/// A certificate with its key, ready to be shown.
#[derive(Debug)]
pub(crate) struct Certified {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) info: CertificateInfo,
}

impl Certified {
    pub(crate) fn load(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let chain = certificates(certificate)?;
        let info = chain
            .first()
            .and_then(CertificateInfo::of)
            .ok_or_else(|| Error::unusable(certificate, "it holds no certificate"))?;
        let private = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| Error::unusable(key, error.to_string()))?;
        // Checks that the key is the certificate's.
        let key = CertifiedKey::from_der(chain, private, &provider())
            .map_err(|error| Error::unusable(key, error.to_string()))?;
        Ok(Self {
            key: Arc::new(key),
            info,
        })
    }
}

/// The authorities in a PEM file.
pub(crate) fn authorities(path: &Path) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| Error::unusable(path, error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(Error::unusable(path, "it holds no certificate"));
    }
    Ok(Arc::new(roots))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_file_iter(path)
        .and_then(|found| found.collect())
        .map_err(|error| Error::unusable(path, error.to_string()))
}

/// Loads a value and keeps it up to date for as long as it is held. Files that
/// changed into something unusable leave the value as it was.
pub(crate) fn watched<T: Send + Sync + 'static>(
    what: &'static str,
    files: Vec<PathBuf>,
    every: Duration,
    load: impl Fn() -> Result<T, Error> + Send + 'static,
) -> Result<Arc<ArcSwap<T>>, Error> {
    // Before loading: a change in between is seen as one.
    let mut seen = stamps(&files);
    let current = Arc::new(ArcSwap::from_pointee(load()?));
    let held = Arc::downgrade(&current);
    // Without a runtime there is nobody who would serve for long.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return Ok(current);
    };
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            let Some(current) = held.upgrade() else {
                return;
            };
            let now = stamps(&files);
            if now == seen {
                continue;
            }
            match load() {
                Ok(value) => {
                    seen = now;
                    current.store(Arc::new(value));
                    counter!("agentmesh_tls_reloads_total", "outcome" => "loaded").increment(1);
                    info!(tls.files = what, "certificate files were read again");
                }
                // Half of a pair may have been replaced; the other half follows.
                Err(error) => {
                    counter!("agentmesh_tls_reloads_total", "outcome" => "unusable").increment(1);
                    warn!(tls.files = what, error = %error, "changed certificate files cannot be used");
                }
            }
        }
    });
    Ok(current)
}

/// What changes when a file is written or replaced.
type Stamp = Option<(u64, u64, i64, i64)>;

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    files
        .iter()
        .map(|path| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
        })
        .collect()
}
