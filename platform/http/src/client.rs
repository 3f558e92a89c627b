use std::sync::Arc;
use std::time::Duration;

use crate::{Error, Outbound};

/// How a client behaves towards its remote.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// For one whole call, the body included.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// Idle connections kept for one host.
    pub idle_per_host: usize,
    /// How long an idle connection is kept. Shorter than our servers' own
    /// header timeout, so that the client never writes into a connection which
    /// the server is about to close.
    pub idle_timeout: Duration,
    /// Where it may go. None for addresses that the operator has set; whatever
    /// somebody registered is to be checked against this before it is called,
    /// since a client looks up names and not addresses.
    pub outbound: Option<Outbound>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            idle_per_host: 32,
            idle_timeout: Duration::from_secs(15),
            outbound: None,
        }
    }
}

impl ClientOptions {
    /// The defaults with another deadline for a whole call.
    pub fn with_timeout(timeout: Duration) -> Self {
        Self {
            timeout,
            ..Self::default()
        }
    }
}

/// A client for calls to agents, connectors and other systems. It follows no
/// redirects: a remote must not be able to send us, credentials in hand, to
/// another host.
///
/// # Errors
/// When the platform's certificates cannot be loaded.
pub fn client(options: ClientOptions) -> Result<reqwest::Client, Error> {
    // Fails only when another part of the process was first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder(&options).build().map_err(Error::Client)
}

/// A client for calls to the role `role` and nobody else. Where the settings
/// name the authorities of the mesh, it shows our certificate, and believes to
/// be talking to that role only whoever is certified under its name; the host
/// in the address plays no part in that.
///
/// # Errors
/// When a certificate file cannot be used.
pub fn peer_client(
    options: ClientOptions,
    settings: &platform_config::Tls,
    role: &str,
) -> Result<reqwest::Client, Error> {
    match crate::tls::peer_config(settings, role)? {
        None => client(options),
        Some(config) => builder(&options)
            .tls_backend_preconfigured(config)
            .build()
            .map_err(Error::Client),
    }
}

fn builder(options: &ClientOptions) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("agentmesh/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .timeout(options.timeout)
        .connect_timeout(options.connect_timeout)
        .pool_max_idle_per_host(options.idle_per_host)
        .pool_idle_timeout(options.idle_timeout)
        .tcp_nodelay(true);
    match &options.outbound {
        // A proxy would look names up itself.
        Some(outbound) => builder.dns_resolver(Arc::new(outbound.clone())).no_proxy(),
        None => builder,
    }
}
