//! The rules, held against this workspace.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::sync::LazyLock;

use tests_tidy::{Finding, Workspace, load, rules};

static WORKSPACE: LazyLock<Workspace> = LazyLock::new(|| {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    load(here.ancestors().nth(2).unwrap()).unwrap()
});

fn holds(rule: fn(&Workspace) -> Vec<Finding>) {
    let findings: Vec<String> = rule(&WORKSPACE).iter().map(Finding::to_string).collect();
    assert!(
        findings.is_empty(),
        "{} findings:\n{}",
        findings.len(),
        findings.join("\n")
    );
}

#[test]
fn the_model_is_of_this_workspace() {
    assert!(WORKSPACE.packages.len() > 20);
    assert!(WORKSPACE.has_file("Cargo.toml"));
}

#[test]
fn arrows_point_downward() {
    holds(rules::layering);
}

#[test]
fn each_driver_has_one_owner() {
    holds(rules::drivers);
}

#[test]
fn packages_are_called_after_their_folders() {
    holds(rules::naming);
}

#[test]
fn no_two_runners_share_a_name() {
    holds(rules::runners);
}

#[test]
fn every_runner_is_migrated() {
    holds(rules::migrations);
}

#[test]
fn files_are_short() {
    holds(rules::length);
}

#[test]
fn alerts_have_runbooks_and_metrics() {
    holds(rules::alerts);
}

#[test]
fn the_domain_is_deterministic() {
    holds(rules::determinism);
}

#[test]
fn contexts_look_alike() {
    holds(rules::domain_shape);
}

#[test]
fn projections_look_alike() {
    holds(rules::projection_shape);
}

#[test]
fn documents_are_there() {
    holds(rules::docs);
}
