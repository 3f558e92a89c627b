use crate::{Finding, Workspace};

/// No Rust file is longer than this.
const HARD: usize = 800;
/// 95 of 100 are not longer than this.
const USUAL: usize = 500;
/// A `main.rs` only starts something that lies elsewhere.
const MAIN: usize = 60;

/// How long files may be.
pub fn length(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rust = || {
        workspace
            .files
            .iter()
            .filter(|file| file.path.ends_with(".rs"))
    };
    for file in rust() {
        let lines = file.lines();
        if lines > HARD {
            let problem = format!("has {lines} lines, more than {HARD}");
            findings.push(Finding::new(&file.path, problem));
        }
        if file.path.ends_with("/main.rs") && lines > MAIN {
            let problem = format!("has {lines} lines, a main.rs has at most {MAIN}");
            findings.push(Finding::new(&file.path, problem));
        }
    }
    let long: Vec<_> = rust().filter(|file| file.lines() > USUAL).collect();
    if long.len() * 20 > rust().count() {
        for file in long {
            let problem = format!(
                "has {} lines; more than 5 % of the files have over {USUAL}",
                file.lines()
            );
            findings.push(Finding::new(&file.path, problem));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plant::file;

    fn with(path: &str, lines: usize, short_ones: usize) -> Workspace {
        let mut files = vec![file(path, &"x\n".repeat(lines))];
        files.extend((0..short_ones).map(|n| file(&format!("a/src/f{n}.rs"), "x\n")));
        Workspace {
            packages: Vec::new(),
            files,
        }
    }

    #[test]
    fn a_file_over_the_limit_is_found() {
        assert_eq!(length(&with("a/src/b.rs", 800, 40)), []);
        assert_eq!(length(&with("a/src/b.rs", 801, 40)).len(), 1);
        assert_eq!(length(&with("a/src/data.json", 5000, 40)), []);
    }

    #[test]
    fn too_many_long_files_are_found() {
        assert_eq!(length(&with("a/src/b.rs", 501, 19)), []);
        assert_eq!(length(&with("a/src/b.rs", 501, 18)).len(), 1);
    }

    #[test]
    fn a_main_that_does_more_than_start_is_found() {
        assert_eq!(length(&with("a/src/main.rs", 60, 1)), []);
        assert_eq!(length(&with("a/src/main.rs", 61, 1)).len(), 1);
    }
}
