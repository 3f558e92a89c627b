//! Apicurio Registry, for its Confluent-compatible API. It keeps its schemas
//! in Postgres, so an id given once means the same schema for ever: records on
//! the log carry nothing but that id.

use std::process::Command;

use super::{Server, Site, postgres, start};
use crate::{Error, install, probe};

pub(crate) const NAME: &str = "schema-registry";

/// The Confluent API's path.
const API: &str = "/apis/ccompat/v7";

const DATABASE: &str = "schema_registry";

pub(crate) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}{API}")
}

/// Starts the registry over a database of its own on the server of `database_url`.
pub(crate) async fn launch(site: &Site, port: u16, database_url: &str) -> Result<Server, Error> {
    let java = install::java(&site.libs_dir)?;
    let home = install::apicurio(&site.libs_dir)?;
    postgres::create_database(database_url, DATABASE).await?;
    let mut command = Command::new(java);
    command
        .args(["-Xmx256m", "-XX:+UseSerialGC"])
        // It answers a few dozen requests: a quick start matters more than peak speed.
        .arg("-XX:TieredStopAtLevel=1")
        .arg("-Dquarkus.http.host=127.0.0.1")
        .arg(format!("-Dquarkus.http.port={port}"))
        .arg("-Dquarkus.http.access-log.enabled=false")
        .arg("-Dquarkus.management.host=127.0.0.1")
        .arg("-Dquarkus.management.port=0")
        .arg("-Dapicurio.storage.kind=sql")
        .arg("-Dapicurio.storage.sql.kind=postgresql")
        .arg("-Dapicurio.datasource.jdbc.initial-size=1")
        .arg("-Dapicurio.datasource.jdbc.min-size=1")
        .arg("-Dapicurio.datasource.jdbc.max-size=10")
        .args(["-jar", "quarkus-run.jar"])
        .current_dir(home);
    let database = Jdbc::parse(database_url).ok_or(Error::DatabaseUrl)?;
    // A password must not show in the list of processes.
    command
        .env("APICURIO_DATASOURCE_URL", &database.url)
        .env("APICURIO_DATASOURCE_USERNAME", &database.user)
        .env("APICURIO_DATASOURCE_PASSWORD", &database.password);
    let address = format!("127.0.0.1:{port}");
    let path = format!("{API}/subjects");
    start(site, NAME, port, command, || probe::http(&address, &path)).await
}

/// The registry's database as Java wants to hear of it.
#[derive(Debug, PartialEq, Eq)]
struct Jdbc {
    url: String,
    user: String,
    password: String,
}

impl Jdbc {
    fn parse(url: &str) -> Option<Self> {
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))?;
        let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
        let (account, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = account.split_once(':').unwrap_or((account, ""));
        (!host.is_empty()).then(|| Self {
            url: format!("jdbc:postgresql://{host}/{DATABASE}"),
            user: percent_decoded(user),
            password: percent_decoded(password),
        })
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match (first, tail) {
            (b'%', [high, low, after @ ..]) => hex(*high)
                .zip(hex(*low))
                .map(|(high, low)| (high << 4 | low, after)),
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((*first, tail));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_address_is_put_the_java_way() {
        assert_eq!(
            Jdbc::parse("postgres://ann:p%40ss@db:5433/mesh?sslmode=disable"),
            Some(Jdbc {
                url: "jdbc:postgresql://db:5433/schema_registry".to_owned(),
                user: "ann".to_owned(),
                password: "p@ss".to_owned(),
            })
        );
        assert_eq!(
            Jdbc::parse("postgresql://127.0.0.1").unwrap().url,
            "jdbc:postgresql://127.0.0.1/schema_registry"
        );
        assert_eq!(Jdbc::parse("mysql://db/mesh"), None);
    }

    #[test]
    fn a_lone_percent_sign_is_itself() {
        assert_eq!(percent_decoded("100%"), "100%");
        assert_eq!(percent_decoded("%zz%41"), "%zzA");
    }
}
