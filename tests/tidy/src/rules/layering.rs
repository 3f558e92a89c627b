use crate::{Dependency, Finding, Layer, Package, Workspace};

/// What a pure crate may take from outside the workspace.
const PURE: [&str; 3] = ["serde", "thiserror", "uuid"];

/// The process manager reads the events of other contexts; nobody else does.
const PROCESS_MANAGER: &str = "domain/workflow";

/// The one service that starts the others.
const STARTER: &str = "services/cli";

/// A stand-in for somebody else's system. Tests of other services start it.
const SANDBOX: &str = "services/crm-sandbox";

/// What black-box tests share: a mesh, a sender, eyes. It is no test itself.
const TEST_KIT: &str = "tests/kit";

/// The layering table. Dependencies for tests are held to it too: a test of a
/// lower layer that needs a higher one belongs to the higher one.
pub fn layering(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let Some(layer) = package.layer() else {
            let problem = "belongs to no layer of ARCHITECTURE.md";
            findings.push(Finding::new(package.manifest(), problem));
            continue;
        };
        for dependency in &package.dependencies {
            if let Some(problem) = objection(package, layer, dependency) {
                findings.push(Finding::new(package.manifest(), problem));
            }
        }
    }
    findings
}

fn objection(package: &Package, layer: Layer, dependency: &Dependency) -> Option<String> {
    let Some(folder) = &dependency.folder else {
        let pure = matches!(layer, Layer::Kernel | Layer::Domain);
        return (pure && !dependency.dev && !PURE.contains(&dependency.name.as_str())).then(|| {
            format!(
                "the domain is pure and may not depend on {}",
                dependency.name
            )
        });
    };
    let target = Layer::of(folder)?;
    let allowed = match layer {
        Layer::Kernel => false,
        Layer::Domain => {
            target == Layer::Kernel
                || (target == Layer::Domain && package.folder == PROCESS_MANAGER)
        }
        Layer::Schemas => matches!(target, Layer::Kernel | Layer::Domain),
        Layer::Platform => matches!(target, Layer::Kernel | Layer::Platform),
        Layer::Projections => matches!(
            target,
            Layer::Kernel | Layer::Domain | Layer::Schemas | Layer::Platform
        ),
        Layer::Services => {
            !matches!(target, Layer::Services | Layer::Tests)
                || (target == Layer::Services && package.folder == STARTER)
                || (dependency.dev && folder == SANDBOX)
        }
        // Black-box tests may look at anything but one another; what they share
        // is in a crate of its own.
        Layer::Tests => target != Layer::Tests || folder == TEST_KIT,
    };
    if !allowed {
        return Some(format!("{} may not depend on {folder}", package.folder));
    }
    let leaks = folder == "platform/testkit" && !dependency.dev && layer != Layer::Tests;
    leaks.then(|| "platform/testkit is for tests: make it a dev-dependency".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plant::{package, packages};

    fn problems(folder: &str, dependencies: &[&str]) -> Vec<String> {
        layering(&packages(vec![package(folder, dependencies)]))
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    #[test]
    fn arrows_downward_are_fine() {
        for (folder, dependencies) in [
            ("domain/kernel", &["serde", "uuid"][..]),
            ("domain/context", &["domain/kernel", "serde"]),
            ("domain/workflow", &["domain/kernel", "domain/effect"]),
            ("schemas", &["domain/effect", "serde_avro_fast"]),
            (
                "platform/log",
                &["domain/kernel", "platform/config", "rdkafka"],
            ),
            ("projections/audit", &["schemas", "platform/postgres"]),
            ("services/gateway", &["projections/deliveries", "schemas"]),
            ("services/cli", &["services/gateway"]),
            ("tests/flows", &["platform/testkit", "services/gateway"]),
            ("tests/chaos", &["tests/kit", "platform/log"]),
        ] {
            assert_eq!(problems(folder, dependencies), [""; 0], "{folder}");
        }
    }

    #[test]
    fn arrows_upward_and_sideways_are_found() {
        for (folder, dependency) in [
            ("domain/kernel", "domain/context"),
            ("domain/context", "domain/effect"),
            ("domain/context", "platform/log"),
            ("schemas", "platform/log"),
            ("platform/log", "schemas"),
            ("platform/log", "domain/context"),
            ("platform/log", "services/gateway"),
            ("projections/audit", "projections/effects"),
            ("projections/audit", "services/replay"),
            ("services/gateway", "services/policy"),
            ("services/gateway", "tests/flows"),
            ("tests/flows", "tests/tidy"),
            ("tests/chaos", "tests/flows"),
            ("services/gateway", "tests/kit"),
        ] {
            assert_eq!(
                problems(folder, &[dependency]),
                [format!(
                    "{folder}/Cargo.toml: {folder} may not depend on {dependency}"
                )]
            );
        }
    }

    #[test]
    fn the_domain_takes_nothing_impure() {
        assert_eq!(problems("domain/context", &["tokio"]).len(), 1);
        assert_eq!(problems("domain/kernel", &["rand"]).len(), 1);
    }

    #[test]
    fn the_test_kit_stays_in_tests() {
        assert_eq!(problems("services/gateway", &["platform/testkit"]).len(), 1);
        let mut fine = package("services/gateway", &["platform/testkit"]);
        fine.dependencies[0].dev = true;
        assert_eq!(layering(&packages(vec![fine])), []);
    }

    #[test]
    fn the_sandbox_may_be_started_by_tests() {
        let mut sync = package("services/sync", &["services/crm-sandbox"]);
        assert_eq!(layering(&packages(vec![sync.clone()])).len(), 1);
        sync.dependencies[0].dev = true;
        assert_eq!(layering(&packages(vec![sync])), []);
    }

    #[test]
    fn a_crate_outside_the_layers_is_found() {
        assert_eq!(problems("tools/thing", &[]).len(), 1);
    }
}
