use crate::{Finding, Workspace};

/// Each driver, and the one crate that owns it. Everybody else goes through
/// that crate, so an upgrade or an exchange of the driver is one crate's matter.
const OWNERS: [(&str, &str); 14] = [
    ("rdkafka", "platform/log"),
    ("tokio-postgres", "platform/postgres"),
    ("deadpool-postgres", "platform/postgres"),
    ("refinery", "platform/postgres"),
    ("fred", "platform/redis"),
    ("governor", "platform/resilience"),
    ("usearch", "platform/vectors"),
    ("rcgen", "platform/certs"),
    ("reqwest", "platform/http"),
    ("regorus", "platform/rego"),
    ("rmcp", "platform/mcp"),
    ("cel", "platform/cel"),
    ("aes-gcm", "platform/vault"),
    ("jsonwebtoken", "platform/identity"),
];

/// Measures what is built on a driver against the bare driver.
const MEASURES: &str = "tests/bench";

/// A driver is named in its owner's manifest only, and in that of the benchmarks.
pub fn drivers(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        for (driver, owner) in OWNERS {
            let may = [owner, MEASURES].contains(&package.folder.as_str());
            if !may && package.depends_on(driver) {
                let problem = format!("{driver} belongs to {owner}");
                findings.push(Finding::new(package.manifest(), problem));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plant::{package, packages};

    #[test]
    fn an_owner_may_name_its_driver() {
        let workspace = packages(vec![
            package("platform/log", &["rdkafka"]),
            package("services/gateway", &["platform/log"]),
        ]);
        assert_eq!(drivers(&workspace), []);
    }

    #[test]
    fn a_second_manifest_with_a_driver_is_found() {
        let workspace = packages(vec![
            package("platform/log", &["rdkafka"]),
            package("services/gateway", &["rdkafka"]),
        ]);
        assert_eq!(
            drivers(&workspace),
            [Finding::new(
                "services/gateway/Cargo.toml",
                "rdkafka belongs to platform/log"
            )]
        );
    }
}
