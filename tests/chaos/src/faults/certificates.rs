use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use platform_certs::{Request, RoleNames, Store};
use platform_config::Tls;
use platform_http::{ClientOptions, peer_client};
use platform_testkit::{Proc, answers_http, eventually, free_port};
use tests_kit::Sender;

use crate::load::ticket;
use crate::scene::RECOVERY;
use crate::{Delivery, Fault, Scene};

pub(super) const EXPIRED: Fault =
    Fault::new("F23", "certificate expires, and is renewed", expired).only_long();

const ROLE: &str = "gateway";
const DOMAIN: &str = "mesh.internal";
const HOUR: Duration = Duration::from_secs(3_600);
/// Long enough for a process to start and take deliveries in.
const SHORT: Duration = Duration::from_secs(12);
/// A second gateway takes deliveries in over HTTPS until its certificate
/// expires, and none after; with a new file it goes on, and so it does when the
/// file changes under load. The process is one all the while.
fn expired<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let dir = tempfile::tempdir()?;
        let store = Store::new(dir.path().join("certificates"));
        store.init(HOUR)?;
        let names = RoleNames::new(ROLE, DOMAIN)?;
        let issue = |valid_for| store.issue(&Request::new(names.clone(), valid_for));
        issue(SHORT)?;

        let mut settings = scene.stand.mesh.settings().clone();
        settings.data_dir = dir.path().join(ROLE);
        settings.gateway.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let files = [
            (
                "AGENTMESH__GATEWAY__TLS__CERTIFICATE",
                store.certificate(ROLE),
            ),
            ("AGENTMESH__GATEWAY__TLS__KEY", store.key(ROLE)),
        ];
        let mut environment: Vec<_> = files
            .map(|(name, path)| (name.to_owned(), path.display().to_string()))
            .into();
        environment.push((
            "AGENTMESH__TLS__RELOAD_INTERVAL_MS".to_owned(),
            "100".to_owned(),
        ));
        let mut gateway = Proc::spawn_with(ROLE, &settings, &environment)?;
        gateway.ready().await?;

        let trust = Tls {
            reload_interval_ms: 100,
            client_certificate: None,
            client_key: None,
            peer_authorities: Some(store.authorities()),
            peer_domain: DOMAIN.to_owned(),
        };
        // Each request is a connection of its own.
        let options = ClientOptions {
            idle_per_host: 0,
            ..ClientOptions::with_timeout(Duration::from_secs(4))
        };
        let base = format!("https://{}", settings.gateway.listen);
        let sender = Sender::over(&base, peer_client(options, &trust, ROLE)?);
        let key = format!("{}-https", scene.name);
        let next = |number: usize| {
            let word = scene.dice().word(10);
            Delivery::new(ticket(&key, number, &word), &key, number)
        };

        let mut taken_in = Vec::new();
        let mut first = next(0);
        first.note(&sender.post(&first.ticket).await);
        ensure!(
            first.acknowledged.is_some(),
            "HTTPS does not work: {first:?}"
        );
        taken_in.push(first);

        let ready = gateway.ops().to_string();
        eventually(RECOVERY, || async {
            !answers_http(&ready, "/readyz").await
        })
        .await
        .context("ready with an expired certificate")?;
        let mut second = next(1);
        for _ in 0..5 {
            if sender.post(&second.ticket).await.is_ok() {
                scene.wrong("a connection was accepted after the certificate had expired");
            }
        }

        issue(HOUR)?;
        eventually(RECOVERY, || async { answers_http(&ready, "/readyz").await })
            .await
            .context("not ready with a new certificate")?;
        second.note(&sender.post(&second.ticket).await);
        taken_in.push(second);
        for number in 2..scene.profile.pick(6, 20) {
            issue(HOUR)?;
            let mut delivery = next(number);
            delivery.note(&sender.post(&delivery.ticket).await);
            if delivery.acknowledged.is_none() {
                scene.wrong(format!(
                    "refused while the certificate changed: {delivery:?}"
                ));
            }
            taken_in.push(delivery);
        }
        scene.note(format!(
            "{} taken in over HTTPS by one process, with as many certificates",
            taken_in.len()
        ));
        scene.judge_too(taken_in);
        gateway.terminate().await?;
        Ok(())
    }
    .boxed()
}
