use crate::{Finding, Layer, Package, Workspace};

/// The same files in each context.
const CONTEXT: [&str; 8] = [
    "lib", "command", "event", "state", "decide", "react", "error", "spec",
];

/// A context that only records facts decides nothing.
const FACTS: [&str; 3] = ["lib", "event", "error"];
const FACTS_ONLY: [&str; 2] = ["domain/delivery", "domain/policy"];

/// The same files in each projection, whatever it is kept in.
const PROJECTION: [&str; 6] = [
    "README.md",
    "src/lib.rs",
    "src/project.rs",
    "src/apply.rs",
    "src/query.rs",
    "tests/it.rs",
];

/// Whoever knows one context knows all. Further files are free.
pub fn domain_shape(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.of_layer(Layer::Domain) {
        let folder = &package.folder;
        let wanted: &[&str] = if FACTS_ONLY.contains(&folder.as_str()) {
            &FACTS
        } else {
            &CONTEXT
        };
        for name in wanted {
            require(workspace, folder, &format!("src/{name}.rs"), &mut findings);
        }
    }
    findings
}

/// Whoever knows one projection knows all. A projection that stands in
/// Postgres, which is one that depends on `platform-postgres`, has migrations
/// as well; one in Redis, in the vector index or in memory has none.
pub fn projection_shape(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.of_layer(Layer::Projections) {
        for path in PROJECTION {
            require(workspace, &package.folder, path, &mut findings);
        }
        if stands_in_postgres(package) {
            let migrations = format!("{}/migrations", package.folder);
            if !workspace
                .below(&migrations)
                .any(|file| file.path.ends_with(".sql"))
            {
                findings.push(Finding::new(migrations, "holds no .sql file"));
            }
        }
    }
    findings
}

fn stands_in_postgres(package: &Package) -> bool {
    package
        .dependencies
        .iter()
        .any(|dependency| dependency.name == "platform-postgres" && !dependency.dev)
}

fn require(workspace: &Workspace, folder: &str, path: &str, findings: &mut Vec<Finding>) {
    let path = format!("{folder}/{path}");
    if !workspace.has_file(&path) {
        findings.push(Finding::new(path, "is missing"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plant::{files, package};

    fn context(folder: &str, names: &[&str]) -> Workspace {
        let paths: Vec<String> = names
            .iter()
            .map(|name| format!("{folder}/src/{name}.rs"))
            .collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        Workspace {
            packages: vec![package(folder, &[])],
            ..files(&paths)
        }
    }

    #[test]
    fn a_context_without_one_of_its_files_is_found() {
        assert_eq!(domain_shape(&context("domain/effect", &CONTEXT)), []);
        assert_eq!(
            domain_shape(&context("domain/effect", &CONTEXT[..7])),
            [Finding::new("domain/effect/src/spec.rs", "is missing")]
        );
    }

    #[test]
    fn facts_need_no_decider_and_the_kernel_has_its_own_shape() {
        assert_eq!(domain_shape(&context("domain/policy", &FACTS)), []);
        assert_eq!(
            domain_shape(&context("domain/policy", &FACTS[..2])).len(),
            1
        );
        assert_eq!(domain_shape(&context("domain/kernel", &["lib"])), []);
    }

    fn projection(dependencies: &[&str], more: &[&str]) -> Workspace {
        let mut paths: Vec<String> = PROJECTION
            .iter()
            .map(|path| format!("projections/audit/{path}"))
            .collect();
        paths.extend(more.iter().map(|path| format!("projections/audit/{path}")));
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        Workspace {
            packages: vec![package("projections/audit", dependencies)],
            ..files(&paths)
        }
    }

    #[test]
    fn a_postgres_projection_without_migrations_is_found() {
        let postgres = &["platform/postgres"];
        assert_eq!(
            projection_shape(&projection(postgres, &["migrations/V1__audit.sql"])),
            []
        );
        assert_eq!(projection_shape(&projection(postgres, &[])).len(), 1);
        assert_eq!(projection_shape(&projection(&["platform/redis"], &[])), []);
    }

    #[test]
    fn a_projection_without_its_test_is_found() {
        let mut workspace = projection(&[], &[]);
        workspace.files.retain(|file| !file.path.ends_with("it.rs"));
        assert_eq!(
            projection_shape(&workspace),
            [Finding::new("projections/audit/tests/it.rs", "is missing")]
        );
    }
}
