//! HTTPS over real sockets: who is let in, who is believed, what happens when
//! certificates change under load.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use platform_certs::{Request, RoleNames, Store, TrustedFor};
use platform_config::{ClientCertificates, ListenerTls, Settings, Tls, TlsVersion};
use platform_http::axum::Router;
use platform_http::axum::extract::Extension;
use platform_http::axum::routing::get;
use platform_http::reqwest::{self, Client};
use platform_http::{ClientIdentity, ClientOptions, Limits, Readiness, listen, peer_client, serve};
use tokio_util::sync::CancellationToken;

const DOMAIN: &str = "mesh.internal";
const HOUR: Duration = Duration::from_secs(3_600);
const RELOAD: Duration = Duration::from_millis(20);

/// An authority, and what it has issued.
struct Mesh {
    _dir: tempfile::TempDir,
    store: Store,
}

impl Mesh {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        store.init(HOUR).unwrap();
        let mesh = Self { _dir: dir, store };
        for role in ["federation", "agents", "stranger"] {
            mesh.issue(role, HOUR);
        }
        mesh
    }

    fn issue(&self, role: &str, valid_for: Duration) {
        self.store.issue(&request(role, valid_for)).unwrap();
    }

    /// A listener that admits `agents` and nobody else.
    fn listener(&self) -> ListenerTls {
        ListenerTls {
            certificate: Some(self.store.certificate("federation")),
            key: Some(self.store.key("federation")),
            client_certificates: ClientCertificates::Required,
            client_authorities: Some(self.store.authorities()),
            client_names: vec!["spiffe://mesh.internal/agents".to_owned()],
            min_version: TlsVersion::V1_3,
        }
    }

    /// Calls as `role` does, believing this mesh's authority.
    fn caller(&self, role: &str) -> Tls {
        Tls {
            reload_interval_ms: RELOAD.as_millis() as u64,
            client_certificate: Some(self.store.certificate(role)),
            client_key: Some(self.store.key(role)),
            peer_authorities: Some(self.store.authorities()),
            peer_domain: DOMAIN.to_owned(),
        }
    }
}

fn request(role: &str, valid_for: Duration) -> Request {
    Request::new(RoleNames::new(role, DOMAIN).unwrap(), valid_for).on_this_machine()
}

struct Server {
    address: SocketAddr,
    readiness: Readiness,
    shutdown: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Server {
    fn start(tls: &ListenerTls) -> Self {
        let mut settings = Settings::defaults().unwrap();
        settings.tls.reload_interval_ms = RELOAD.as_millis() as u64;
        let readiness = Readiness::new();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = listen("test", any, tls, &settings, &readiness).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/who", get(who));
        let stop = shutdown.clone();
        tokio::spawn(async move {
            serve("test", listener, router, Limits::default(), stop)
                .await
                .unwrap();
        });
        Self {
            address,
            readiness,
            shutdown,
        }
    }

    async fn get(&self, client: &Client, path: &str) -> Result<String, reqwest::Error> {
        let url = format!("https://{}{path}", self.address);
        client.get(url).send().await?.text().await
    }
}

async fn who(Extension(client): Extension<ClientIdentity>) -> String {
    format!(
        "{} {} {}",
        client.subject,
        client.uri_names[0],
        hex::encode(client.sha256)
    )
}

/// A client that connects anew for every request.
fn client(tls: &Tls, role: &str) -> Client {
    let options = ClientOptions {
        idle_per_host: 0,
        ..ClientOptions::default()
    };
    peer_client(options, tls, role).unwrap()
}

#[tokio::test]
async fn a_peer_is_known_by_its_name_and_certificate() {
    let mesh = Mesh::new();
    let server = Server::start(&mesh.listener());
    let agents = client(&mesh.caller("agents"), "federation");
    let told = server.get(&agents, "/who").await.unwrap();
    let pem = std::fs::read(mesh.store.certificate("agents")).unwrap();
    let info = platform_http::CertificateInfo::of_pem(&pem).unwrap();
    assert_eq!(
        told,
        format!(
            "CN=agents.mesh.internal spiffe://mesh.internal/agents {}",
            hex::encode(info.sha256)
        )
    );
    assert!(info.seconds_left() > 3_000 && info.seconds_left() <= 3_600);
    assert!(server.readiness.is_ready());
}

#[tokio::test]
async fn who_is_not_whom_the_server_knows_is_refused() {
    let mesh = Mesh::new();
    let elsewhere = Mesh::new();
    let server = Server::start(&mesh.listener());

    let wrong_name = client(&mesh.caller("stranger"), "federation");
    assert!(server.get(&wrong_name, "/").await.is_err());

    let other_authority = Tls {
        client_certificate: Some(elsewhere.store.certificate("agents")),
        client_key: Some(elsewhere.store.key("agents")),
        ..mesh.caller("agents")
    };
    let other_authority = client(&other_authority, "federation");
    assert!(server.get(&other_authority, "/").await.is_err());

    let none = Tls {
        client_certificate: None,
        client_key: None,
        ..mesh.caller("agents")
    };
    assert!(server.get(&client(&none, "federation"), "/").await.is_err());

    mesh.store
        .issue(&Request {
            backdated: HOUR,
            valid_for: Duration::ZERO,
            ..request("agents", HOUR)
        })
        .unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let expired = client(&mesh.caller("agents"), "federation");
    assert!(server.get(&expired, "/").await.is_err());
}

#[tokio::test]
async fn who_is_not_whom_the_caller_means_is_refused() {
    let mesh = Mesh::new();
    let elsewhere = Mesh::new();
    let agents = client(&mesh.caller("agents"), "federation");

    // The address is right, the name is another role's.
    let policy = client(&mesh.caller("agents"), "policy");
    let server = Server::start(&mesh.listener());
    assert!(server.get(&policy, "/").await.is_err());
    assert_eq!(server.get(&agents, "/").await.unwrap(), "here");

    // The name is right, the authority is another mesh's.
    let impostor = Server::start(&ListenerTls {
        client_certificates: ClientCertificates::None,
        client_authorities: None,
        client_names: Vec::new(),
        ..elsewhere.listener()
    });
    assert!(impostor.get(&agents, "/").await.is_err());
}

#[tokio::test]
async fn only_the_newest_version_is_spoken_unless_an_older_is_asked_for() {
    let mesh = Mesh::new();
    let public = ListenerTls {
        client_certificates: ClientCertificates::None,
        client_authorities: None,
        client_names: Vec::new(),
        ..mesh.listener()
    };
    let authority = std::fs::read(mesh.store.authorities()).unwrap();
    // Installs the provider that this client takes by default.
    let _ = platform_http::client(ClientOptions::default()).unwrap();
    let old = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&authority).unwrap()])
        .tls_version_max(reqwest::tls::Version::TLS_1_2)
        .build()
        .unwrap();
    let new_only = Server::start(&public);
    assert!(new_only.get(&old, "/").await.is_err());
    let both = Server::start(&ListenerTls {
        min_version: TlsVersion::V1_2,
        ..public
    });
    assert_eq!(both.get(&old, "/").await.unwrap(), "here");
}

#[tokio::test]
async fn certificates_and_authorities_change_under_load_and_no_request_fails() {
    let mesh = Mesh::new();
    let server = Arc::new(Server::start(&mesh.listener()));
    let done = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut callers = Vec::new();
    for _ in 0..4 {
        let agents = client(&mesh.caller("agents"), "federation");
        let (server, done, answered) = (server.clone(), done.clone(), answered.clone());
        callers.push(tokio::spawn(async move {
            let mut seen = std::collections::BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                seen.insert(server.get(&agents, "/who").await.unwrap());
                answered.fetch_add(1, Ordering::Relaxed);
            }
            seen
        }));
    }
    let more = async |requests: usize| {
        let until = answered.load(Ordering::Relaxed) + requests;
        while answered.load(Ordering::Relaxed) < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // Several looks of everybody at the files.
    let noticed = || tokio::time::sleep(RELOAD * 10);
    for _ in 0..2 {
        more(20).await;
        mesh.issue("federation", HOUR);
        mesh.issue("agents", HOUR);
        noticed().await;
    }
    // First everybody trusts both authorities, then certificates are exchanged,
    // then the former authority is forgotten.
    mesh.store.new_authority(HOUR, TrustedFor::Overlap).unwrap();
    noticed().await;
    more(20).await;
    mesh.issue("federation", HOUR);
    mesh.issue("agents", HOUR);
    noticed().await;
    more(20).await;
    mesh.store.forget_former_authorities().unwrap();
    noticed().await;
    more(20).await;
    done.store(true, Ordering::Relaxed);
    let mut shown = std::collections::BTreeSet::new();
    for caller in callers {
        shown.extend(caller.await.expect("no request failed"));
    }
    assert!(shown.len() >= 4, "{} certificates were shown", shown.len());
}

#[tokio::test]
async fn nobody_is_accepted_with_an_expired_certificate_until_a_new_one_is_there() {
    let mesh = Mesh::new();
    mesh.issue("federation", Duration::from_secs(2));
    let server = Server::start(&mesh.listener());
    let agents = client(&mesh.caller("agents"), "federation");
    assert_eq!(server.get(&agents, "/").await.unwrap(), "here");

    while server.readiness.is_ready() {
        tokio::time::sleep(RELOAD).await;
    }
    let states = format!("{:?}", server.readiness.components());
    assert!(states.contains("the certificate expired"), "{states}");
    assert!(server.get(&agents, "/").await.is_err());

    mesh.issue("federation", HOUR);
    server.readiness.wait_ready().await;
    assert_eq!(server.get(&agents, "/").await.unwrap(), "here");
}

#[tokio::test]
async fn files_that_do_not_belong_together_are_named_at_the_start() {
    let mesh = Mesh::new();
    let listener = ListenerTls {
        key: Some(mesh.store.key("stranger")),
        ..mesh.listener()
    };
    let settings = Settings::defaults().unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let error = listen("test", any, &listener, &settings, &Readiness::new()).unwrap_err();
    assert!(error.to_string().contains("stranger-key.pem"), "{error}");
}

/// HTTP/2 over TLS, spoken frame by frame.
mod http_2 {
    use super::*;
    use h2::Reason;
    use platform_http::axum::http;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    type Tls = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

    async fn connect(mesh: &Mesh, server: &Server) -> Tls {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject as _;
        let mut roots = rustls::RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(mesh.store.authorities()).unwrap();
        roots.add(authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tcp = tokio::net::TcpStream::connect(server.address)
            .await
            .unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let tls = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
            .unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        tls
    }

    async fn honest(mesh: &Mesh, server: &Server) -> h2::client::SendRequest<bytes::Bytes> {
        let tls = connect(mesh, server).await;
        let (send, connection) = h2::client::handshake(tls).await.unwrap();
        tokio::spawn(connection);
        send.ready().await.unwrap()
    }

    fn public(mesh: &Mesh) -> ListenerTls {
        ListenerTls {
            client_certificates: ClientCertificates::None,
            client_authorities: None,
            client_names: Vec::new(),
            ..mesh.listener()
        }
    }

    fn get(path: &str) -> http::Request<()> {
        http::Request::get(format!("https://localhost{path}"))
            .body(())
            .unwrap()
    }

    #[tokio::test]
    async fn is_served_and_its_headers_are_limited() {
        let mesh = Mesh::new();
        let server = Server::start(&public(&mesh));
        let mut send = honest(&mesh, &server).await;
        let (answer, _) = send.send_request(get("/"), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);

        let mut many = get("/");
        for number in 0..101 {
            let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
            many.headers_mut().insert(name, "a".parse().unwrap());
        }
        let (answer, _) = send.send_request(many, true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 431);
    }

    #[tokio::test]
    async fn a_rapid_reset_ends_the_connection_and_nobody_elses() {
        let mesh = Mesh::new();
        let server = Server::start(&public(&mesh));
        let mut honest = honest(&mesh, &server).await;
        let mut attacker = connect(&mesh, &server).await;
        let mut attack = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        frame(&mut attack, SETTINGS, 0, 0, &[]);
        for number in 0..1_000 {
            let stream = 2 * number + 1;
            // GET, /, https by the static table, and an authority.
            let head = b"\x82\x84\x87\x41\x09localhost";
            frame(&mut attack, HEADERS, END_STREAM | END_HEADERS, stream, head);
            let cancel = 8_u32.to_be_bytes();
            frame(&mut attack, RST_STREAM, 0, stream, &cancel);
        }
        // The server may close before it has read everything.
        let _ = attacker.write_all(&attack).await;
        let _ = attacker.flush().await;
        let mut answers = Vec::new();
        let _ = attacker.read_to_end(&mut answers).await;
        let calm = Reason::ENHANCE_YOUR_CALM;
        assert_eq!(goaway(&answers), Some(u32::from(calm)));
        let (answer, _) = honest.send_request(get("/"), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
    }

    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;

    fn frame(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        to.extend_from_slice(&length[1..]);
        to.extend_from_slice(&[kind, flags]);
        to.extend_from_slice(&stream.to_be_bytes());
        to.extend_from_slice(payload);
    }

    /// The reason of the last GOAWAY among frames.
    fn goaway(mut frames: &[u8]) -> Option<u32> {
        let mut reason = None;
        while let Some((head, rest)) = frames.split_at_checked(9) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (payload, rest) = rest.split_at_checked(length)?;
            if head[3] == GOAWAY {
                reason = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
            frames = rest;
        }
        reason
    }
}
