use crate::{Finding, Workspace};

/// What the domain may not say, and why. `domain/clippy.toml` bans the same
/// calls where clippy resolves them; this also finds what it cannot, such as
/// `use std::fs`.
const BANNED: [(&str, &str); 12] = [
    ("SystemTime", "time reaches it inside the command"),
    ("Instant::now", "time reaches it inside the command"),
    ("Utc::now", "time reaches it inside the command"),
    ("new_v4", "ids are derived"),
    ("now_v7", "ids are derived"),
    ("rand::", "randomness reaches it inside the command"),
    ("std::fs", "it does no IO"),
    ("std::net", "it does no IO"),
    ("std::process", "it does no IO"),
    ("std::env", "settings are passed in"),
    ("std::thread", "it does not run on its own"),
    ("tokio", "it is not async"),
];

/// No clock, no randomness, no IO in `domain/`.
pub fn determinism(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in workspace.below("domain") {
        if !file.path.ends_with(".rs") {
            continue;
        }
        for (index, line) in file.text.lines().enumerate() {
            // Comments may speak of what the code may not do.
            let code = line.split("//").next().unwrap_or_default();
            for (word, why) in BANNED {
                if code.contains(word) {
                    findings.push(Finding::new(
                        format!("{}:{}", file.path, index + 1),
                        format!("the domain may not use {word}: {why}"),
                    ));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plant::file;

    fn found(path: &str, text: &str) -> usize {
        let workspace = Workspace {
            packages: Vec::new(),
            files: vec![file(path, text)],
        };
        determinism(&workspace).len()
    }

    #[test]
    fn a_wall_clock_in_the_domain_is_found_with_its_line() {
        let workspace = Workspace {
            packages: Vec::new(),
            files: vec![file(
                "domain/context/src/decide.rs",
                "fn now() {\n    let t = std::time::SystemTime::now();\n}\n",
            )],
        };
        assert_eq!(
            determinism(&workspace)[0].place,
            "domain/context/src/decide.rs:2"
        );
    }

    #[test]
    fn each_kind_of_impurity_is_found() {
        for text in [
            "let id = Uuid::new_v4();",
            "use std::fs;",
            "let home = std::env::var(\"HOME\");",
            "use tokio::sync::mpsc;",
            "let n = rand::random::<u8>();",
        ] {
            assert_eq!(found("domain/context/src/state.rs", text), 1, "{text}");
        }
    }

    #[test]
    fn other_layers_and_comments_are_left_alone() {
        assert_eq!(found("platform/log/src/lib.rs", "use tokio::net;"), 0);
        assert_eq!(
            found("domain/context/src/lib.rs", "//! No tokio, no std::fs."),
            0
        );
    }
}
