#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../../projections/testing.rs"]
mod testing;

use domain_kernel::WorkflowId;
use domain_workflow::{WorkflowEvent, WorkflowSucceeded};
use platform_http::Readiness;
use platform_testkit::eventually;
use schemas::Workflows;
use testing::{Mesh, PATIENCE, correlation, recorded};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn all_read_models_run_say_so_and_drain() {
    let mesh = Mesh::new("role_projections").await;
    let readiness = Readiness::new();
    let shutdown = CancellationToken::new();
    let role = tokio::spawn(services_projections::run(
        mesh.settings(),
        readiness.clone(),
        shutdown.clone(),
    ));
    tokio::time::timeout(PATIENCE, readiness.wait_ready())
        .await
        .unwrap_or_else(|_| panic!("{readiness:?}"));
    assert_eq!(readiness.components().len(), 9);

    let workflow_id = WorkflowId::derive(&["w"]);
    let event = WorkflowEvent::Succeeded(WorkflowSucceeded { workflow_id });
    let record = mesh.record::<Workflows>(&recorded("w", 1, event));
    mesh.append(vec![record]).await;
    eventually(PATIENCE, || async {
        let runs = projections_workflows::by_correlation(&mesh.pool, correlation()).await;
        let audited = projections_audit::by_correlation(&mesh.pool, correlation()).await;
        runs.is_ok_and(|runs| runs.len() == 1) && audited.is_ok_and(|entries| entries.len() == 1)
    })
    .await
    .unwrap();

    shutdown.cancel();
    tokio::time::timeout(PATIENCE, role)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_makes_the_tables_and_again_changes_nothing() {
    let mesh = Mesh::new("migrate_projections").await;
    for _ in 0..2 {
        services_projections::migrate(&mesh.settings())
            .await
            .unwrap();
    }
    let none = projections_audit::by_correlation(&mesh.pool, correlation()).await;
    assert_eq!(none.unwrap(), []);
}
