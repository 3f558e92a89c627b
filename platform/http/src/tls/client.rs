use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use platform_config::Tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::files::{Certified, authorities, watched};
use super::provider;
use crate::Error;

/// TLS as a role does it that calls `role`: shows its own certificate and
/// expects the other to be certified by name, wherever its address points to.
/// None where no authorities of the mesh are set.
pub(crate) fn peer_config(settings: &Tls, role: &str) -> Result<Option<ClientConfig>, Error> {
    let Some(path) = settings.peer_authorities.clone() else {
        return Ok(None);
    };
    let every = Duration::from_millis(settings.reload_interval_ms);
    let name = format!("{role}.{}", settings.peer_domain);
    let expected = ServerName::try_from(name)
        .map_err(|error| Error::unusable(&path, format!("no name for {role}: {error}")))?;
    let verifier = watched("peer authorities", vec![path.clone()], every, move || {
        WebPkiServerVerifier::builder_with_provider(authorities(&path)?, provider())
            .build()
            .map_err(|error| Error::unusable(&path, error.to_string()))
    })?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(Error::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Peer { verifier, expected }));
    let mut config = match (
        settings.client_certificate.clone(),
        settings.client_key.clone(),
    ) {
        (Some(certificate), Some(key)) => {
            let files = vec![certificate.clone(), key.clone()];
            let shown = watched("client certificate", files, every, move || {
                Certified::load(&certificate, &key)
            })?;
            builder.with_client_cert_resolver(Arc::new(Shown(shown)))
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Every connection verifies anew: certificates are short-lived.
    config.resumption = Resumption::disabled();
    Ok(Some(config))
}

/// Verifies who answers, by name and not by address.
#[derive(Debug)]
struct Peer {
    verifier: Arc<ArcSwap<Arc<WebPkiServerVerifier>>>,
    expected: ServerName<'static>,
}

impl ServerCertVerifier for Peer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _address: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier.load().verify_server_cert(
            end_entity,
            intermediates,
            &self.expected,
            ocsp_response,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .load()
            .verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .load()
            .verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.load().supported_verify_schemes()
    }
}

#[derive(Debug)]
struct Shown(Arc<ArcSwap<Certified>>);

impl ResolvesClientCert for Shown {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().key.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
