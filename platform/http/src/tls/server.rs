use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use metrics::gauge;
use platform_config::{ClientCertificates, ListenerTls, TlsVersion};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
};
use tokio_rustls::TlsAcceptor;

use super::files::{Certified, authorities, watched};
use super::{CertificateInfo, provider};
use crate::health::Component;
use crate::{Error, Readiness};

const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// TLS as one listener does it.
pub(crate) struct ServerTls {
    pub(crate) acceptor: TlsAcceptor,
    certificate: Arc<ArcSwap<Certified>>,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls")
            .field("certificate", &self.certificate.load().info.subject)
            .finish_non_exhaustive()
    }
}

impl ServerTls {
    /// None where the settings name no certificate.
    pub(crate) fn new(
        name: &'static str,
        settings: &ListenerTls,
        reload: Duration,
        readiness: &Readiness,
    ) -> Result<Option<Self>, Error> {
        let (Some(certificate), Some(key)) = (settings.certificate.clone(), settings.key.clone())
        else {
            return Ok(None);
        };
        let certificate = watched(name, vec![certificate.clone(), key.clone()], reload, {
            move || Certified::load(&certificate, &key)
        })?;
        watch_expiry(
            name,
            Arc::downgrade(&certificate),
            readiness.component(format!("{name} certificate")),
            reload,
        );
        let versions: &[&rustls::SupportedProtocolVersion] = match settings.min_version {
            TlsVersion::V1_3 => &[&rustls::version::TLS13],
            TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(Error::Tls)?;
        let resolver = Arc::new(Shown(certificate.clone()));
        let clients = clients(name, settings, reload)?;
        let asks = clients.is_some();
        let mut config = match clients {
            Some(clients) => builder.with_client_cert_verifier(clients),
            None => builder.with_no_client_auth(),
        }
        .with_cert_resolver(resolver);
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        if asks {
            // A resumed session is not verified again: who was certified
            // yesterday may not be today.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Some(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            certificate,
        }))
    }

    /// Whether the certificate may still be shown.
    pub(crate) fn is_expired(&self) -> bool {
        self.certificate.load().info.is_expired()
    }
}

/// What was agreed on, and who called.
pub(crate) fn agreed(connection: &rustls::ServerConnection) -> (bool, Option<CertificateInfo>) {
    let http_2 = connection.alpn_protocol() == Some(HTTP_2);
    let client = connection
        .peer_certificates()
        .and_then(<[_]>::first)
        .and_then(CertificateInfo::of);
    (http_2, client)
}

/// The certificate, for as long as it is valid.
#[derive(Debug)]
struct Shown(Arc<ArcSwap<Certified>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.load();
        (!current.info.is_expired()).then(|| current.key.clone())
    }
}

fn clients(
    name: &'static str,
    settings: &ListenerTls,
    reload: Duration,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Error> {
    let mandatory = match settings.client_certificates {
        ClientCertificates::None => return Ok(None),
        ClientCertificates::Optional => false,
        ClientCertificates::Required => true,
    };
    let Some(path) = settings.client_authorities.clone() else {
        return Ok(None);
    };
    let verifier = watched(name, vec![path.clone()], reload, move || {
        let builder = WebPkiClientVerifier::builder_with_provider(authorities(&path)?, provider());
        builder
            .build()
            .map_err(|error| Error::unusable(&path, error.to_string()))
    })?;
    Ok(Some(Arc::new(Clients {
        verifier,
        names: settings.client_names.clone(),
        mandatory,
    })))
}

/// Verifies who calls: by authority and validity as everybody does, then by name.
#[derive(Debug)]
struct Clients {
    verifier: Arc<ArcSwap<Arc<dyn ClientCertVerifier>>>,
    names: Vec<String>,
    mandatory: bool,
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // They may change while a listener lives; a client shows what it has.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self
            .verifier
            .load()
            .verify_client_cert(end_entity, intermediates, now)?;
        if self.names.is_empty() {
            return Ok(verified);
        }
        let info = CertificateInfo::of(end_entity).ok_or(rustls::Error::InvalidCertificate(
            CertificateError::BadEncoding,
        ))?;
        if self.names.iter().any(|name| info.is_named(name)) {
            return Ok(verified);
        }
        Err(rustls::Error::InvalidCertificate(
            CertificateError::ApplicationVerificationFailure,
        ))
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

/// Tells how long the certificate is still good for, as a metric and, once it
/// is not, as a reason not to be ready.
fn watch_expiry(
    name: &'static str,
    certificate: std::sync::Weak<ArcSwap<Certified>>,
    component: Component,
    every: Duration,
) {
    let look = move || {
        let Some(certificate) = certificate.upgrade() else {
            return false;
        };
        let left = certificate.load().info.seconds_left();
        gauge!("agentmesh_tls_certificate_expiry_seconds", "server" => name).set(left as f64);
        if left < 0 {
            component.not_ready(format!("the certificate expired {} s ago", -left));
        } else {
            component.ready();
        }
        true
    };
    look();
    tokio::spawn(async move {
        while look() {
            tokio::time::sleep(every).await;
        }
    });
}
