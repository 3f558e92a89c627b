//! The certificates of the development mesh, and the settings that use them.

use std::time::Duration;

use anyhow::Context as _;
use platform_certs::{Request, RoleNames, Store};
use platform_config::{ClientCertificates, ListenerTls, Settings};
use platform_http::CertificateInfo;

const DAY: Duration = Duration::from_secs(24 * 3_600);
pub(crate) const AUTHORITY_VALID: Duration = Duration::from_secs(3_650 * 24 * 3_600);
pub(crate) const ROLE_VALID: Duration = Duration::from_secs(90 * 24 * 3_600);
/// What is left of a certificate when `dev --tls` makes a new one.
const RENEWED_AT: Duration = Duration::from_secs(14 * 24 * 3_600);

/// Who this command is to the roles.
pub(crate) const COMMAND_LINE: &str = "cli";
/// Who the process of `agentmesh dev` is to the roles it runs.
pub(crate) const EVERY_ROLE: &str = "mesh";

/// The roles that have a certificate of their own.
pub(crate) const ROLES: [&str; 10] = [
    "agents",
    "federation",
    "gateway",
    "policy",
    "projections",
    "registry",
    "sync",
    "workflow",
    COMMAND_LINE,
    EVERY_ROLE,
];

/// Who may call each role that only the mesh itself calls.
fn callers(role: &str) -> &'static [&'static str] {
    match role {
        "federation" => &["agents", "gateway", COMMAND_LINE, EVERY_ROLE],
        "policy" => &[
            "agents",
            "gateway",
            "sync",
            "workflow",
            COMMAND_LINE,
            EVERY_ROLE,
        ],
        "registry" => &["gateway", COMMAND_LINE, EVERY_ROLE],
        _ => &[],
    }
}

pub(crate) fn store(settings: &Settings) -> Store {
    Store::new(settings.data_dir.join("certs"))
}

pub(crate) fn request(
    settings: &Settings,
    role: &str,
    valid_for: Duration,
) -> anyhow::Result<Request> {
    let names = RoleNames::new(role, &settings.tls.peer_domain)?;
    Ok(Request::new(names, valid_for).on_this_machine())
}

/// What the certificate of `role` says; none when there is none.
pub(crate) fn info(store: &Store, role: &str) -> anyhow::Result<Option<CertificateInfo>> {
    let path = store.certificate(role);
    if !path.exists() {
        return Ok(None);
    }
    let pem = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let info = CertificateInfo::of_pem(&pem)
        .with_context(|| format!("{} holds no certificate", path.display()))?;
    Ok(Some(info))
}

/// Makes the authority and the certificates that are missing or soon expire.
pub(crate) fn ensure(settings: &Settings) -> anyhow::Result<()> {
    let store = store(settings);
    if !store.has_authority() {
        store.init(AUTHORITY_VALID)?;
    }
    for role in ROLES {
        let left = info(&store, role)?.map_or(0, |info| info.seconds_left());
        if left < RENEWED_AT.as_secs() as i64 {
            store.issue(&request(settings, role, ROLE_VALID)?)?;
            tracing::info!(
                role.name = role,
                valid.days = ROLE_VALID.as_secs() / DAY.as_secs(),
                "certificate issued"
            );
        }
    }
    Ok(())
}

/// Sets HTTPS for the gateway, which strangers call, and for the roles that
/// only the mesh calls, which ask for a certificate under a name they know.
/// What somebody set stays as it is.
pub(crate) fn apply(settings: &mut Settings, shown: &str) {
    let store = store(settings);
    let domain = settings.tls.peer_domain.clone();
    let listeners: [(&str, &mut ListenerTls); 4] = [
        ("gateway", &mut settings.gateway.tls),
        ("registry", &mut settings.registry.tls),
        ("policy", &mut settings.policy.tls),
        ("federation", &mut settings.federation.tls),
    ];
    for (role, tls) in listeners {
        if tls.is_on() {
            continue;
        }
        tls.certificate = Some(store.certificate(role));
        tls.key = Some(store.key(role));
        tls.client_authorities = Some(store.authorities());
        tls.client_names = callers(role)
            .iter()
            .map(|caller| format!("{caller}.{domain}"))
            .collect();
        // Senders outside prove who they are by their signatures; one with a
        // certificate of ours is known by it.
        tls.client_certificates = if role == "gateway" {
            ClientCertificates::Optional
        } else {
            ClientCertificates::Required
        };
    }
    let tls = &mut settings.tls;
    if tls.peer_authorities.is_none() {
        tls.peer_authorities = Some(store.authorities());
        tls.client_certificate = Some(store.certificate(shown));
        tls.client_key = Some(store.key(shown));
    }
}

/// `https://…` or `http://…`, as the listener speaks.
pub(crate) fn origin(listen: std::net::SocketAddr, tls: &ListenerTls) -> String {
    let scheme = if tls.is_on() { "https" } else { "http" };
    format!("{scheme}://{listen}")
}
