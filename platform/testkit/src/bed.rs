use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use platform_config::{Secret, Settings};
use platform_localstack::{Endpoints, execute_sql};
use tempfile::TempDir;

use crate::{free_port, shared_endpoints};

/// 32 bytes in base64, the same in every test.
const VAULT_KEY: &str = "dGVzdC1rZXktdGVzdC1rZXktdGVzdC1rZXktdGVzdCE=";

/// The ground one test stands on. Its database goes when it is dropped; topics
/// and keys go with the shared servers.
#[derive(Debug)]
pub struct TestBed {
    /// Fresh in all respects: database, topic prefix, key prefix, directories,
    /// addresses to listen on.
    pub settings: Settings,
    database: String,
    maintenance_url: String,
    dir: TempDir,
}

impl TestBed {
    /// Makes a bed on the shared servers, which are started if need be. `name`
    /// shows in the names of what belongs to it.
    ///
    /// # Errors
    /// When the servers cannot be started or the database cannot be created.
    pub async fn new(name: &str) -> anyhow::Result<Self> {
        Self::on(&shared_endpoints().await?, name).await
    }

    /// The same on servers of one's own, for tests that break them.
    ///
    /// # Errors
    /// When the database cannot be created.
    pub async fn on(endpoints: &Endpoints, name: &str) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("agentmesh-").tempdir()?;
        let id = unique_name(name)?;
        let maintenance_url = endpoints.database_url.clone();
        let statement = format!("CREATE DATABASE \"{id}\"");
        let create = {
            let url = maintenance_url.clone();
            move || execute_sql(&url, &statement)
        };
        tokio::task::spawn_blocking(create)
            .await?
            .context("the test's database cannot be created")?;

        let mut settings = Settings::defaults()?;
        endpoints.apply(&mut settings);
        settings.postgres.url = with_database(&maintenance_url, &id);
        settings.postgres.pool_size = 8;
        settings.kafka.topic_prefix = format!("{id}.");
        // Fewer partitions are made and joined faster; more than one shows
        // what depends on there being one.
        settings.kafka.partitions = 3;
        settings.redis.key_prefix = format!("{id}:");
        settings.data_dir = dir.path().join("data");
        std::fs::create_dir_all(&settings.data_dir)?;
        settings.crm_sandbox.data_dir = dir.path().join("crm-sandbox");
        settings.secrets.key = Some(Secret::new(VAULT_KEY));
        settings.gateway.listen = free_address()?;
        settings.registry.listen = free_address()?;
        settings.policy.listen = free_address()?;
        settings.federation.listen = free_address()?;
        settings.agents.federation_url = format!("http://{}", settings.federation.listen);
        settings.agent_servers.listen = free_address()?;
        settings.crm_sandbox.listen = free_address()?;
        settings.telemetry.ops_listen = free_address()?;
        Ok(Self {
            settings,
            database: id,
            maintenance_url,
            dir,
        })
    }

    /// A directory that goes with the bed.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for TestBed {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.database);
        // Best effort: what stays goes when the shared servers are stopped.
        let _ = execute_sql(&self.maintenance_url, &statement);
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)))
}

/// Fits database names (63 bytes), topics and keys alike.
fn unique_name(name: &str) -> anyhow::Result<String> {
    let random = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    let random: String = random
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(10)
        .collect();
    let name: String = name
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(40)
        .collect();
    Ok(format!("t_{name}_{random}"))
}

/// The same server, another database.
fn with_database(url: &str, database: &str) -> String {
    let (address, query) = match url.split_once('?') {
        Some((address, query)) => (address, format!("?{query}")),
        None => (url, String::new()),
    };
    let start = address.find("://").map_or(0, |at| at + 3);
    let end = address[start..]
        .find('/')
        .map_or(address.len(), |at| start + at);
    format!("{}/{database}{query}", &address[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_of_an_address_is_exchanged() {
        assert_eq!(
            with_database("postgres://a:b@h:1/old?sslmode=disable", "new"),
            "postgres://a:b@h:1/new?sslmode=disable"
        );
        assert_eq!(with_database("postgres://h", "new"), "postgres://h/new");
    }

    #[test]
    fn names_are_safe_and_differ() {
        let name = unique_name("Happy path: 100×").unwrap();
        assert!(name.starts_with("t_happy_path__100__"), "{name}");
        assert_ne!(name, unique_name("Happy path: 100×").unwrap());
        assert!(unique_name(&"x".repeat(200)).unwrap().len() < 63);
    }
}
