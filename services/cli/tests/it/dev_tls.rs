use std::process::{Command, Stdio};

use platform_certs::Store;
use platform_config::Settings;
use platform_http::{ClientOptions, client, peer_client};
use platform_testkit::{Proc, TestBed};

/// `agentmesh` under the settings of a test, on the servers that tests share.
struct Shell(TestBed);

impl Shell {
    fn command(&self, arguments: &[&str]) -> Command {
        let settings = &self.0.settings;
        let mut command = Proc::command(settings).unwrap();
        command
            .args(arguments)
            // Servers that are named so are used in place of own ones.
            .env("KAFKA_BROKERS", &settings.kafka.brokers)
            .env("SCHEMA_REGISTRY_URL", &settings.schema_registry.url)
            .env("DATABASE_URL", &settings.postgres.url)
            .env("REDIS_URL", &settings.redis.url);
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{arguments:?}: {said}\n{complaint}"
        );
        said
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Also when the test failed: what was detached would stay.
        let mut down = self.command(&["down"]);
        let _ = down.stdout(Stdio::null()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_development_mesh_speaks_tls_and_the_demo_runs_on_it() {
    let mut bed = TestBed::new("cli_dev_tls").await.unwrap();
    // Left at its default, it follows where federation listens and how.
    let defaults = Settings::defaults().unwrap();
    bed.settings.agents.federation_url = defaults.agents.federation_url;
    let shell = Shell(bed);
    let settings = &shell.0.settings;

    let said = shell.run(&["dev", "--tls", "--detach"]);
    let (gateway, registry) = (settings.gateway.listen, settings.registry.listen);
    for role in [gateway, registry] {
        assert!(said.contains(&format!("https://{role}")), "{said}");
    }
    let said = shell.run(&["demo"]);
    assert!(said.contains("[14] Synced to the CRM"), "{said}");
    assert!(said.contains(&format!("https://{gateway}")), "{said}");

    // Strangers reach the gateway, over TLS only; nobody reaches the registry
    // without a certificate.
    let plain = client(ClientOptions::default()).unwrap();
    let answer = plain.get(format!("http://{gateway}/openapi.json")).send();
    assert!(answer.await.is_err());
    let mut tls = settings.tls.clone();
    tls.peer_authorities = Some(Store::new(settings.data_dir.join("certs")).authorities());
    for (role, address, reached) in [("gateway", gateway, true), ("registry", registry, false)] {
        let stranger = peer_client(ClientOptions::default(), &tls, role).unwrap();
        let answer = stranger.get(format!("https://{address}/healthz")).send();
        assert_eq!(answer.await.is_ok(), reached, "{role}");
    }
    shell.run(&["down"]);
}
