use tests_kit::{Mesh, PATIENCE, READ_MODELS, ROLES, Ticket, names, of_name};

/// All read models are dropped, wherever they are, and come back the same from
/// the log alone; the mesh then goes on with them. `known` is a ticket that
/// was handled before.
pub(crate) async fn what_is_dropped_is_rebuilt(mesh: &Mesh, known: &Ticket) {
    let observer = mesh.observer().await.unwrap();
    let trail = observer.trail(known.correlation()).await.unwrap();
    // Nothing is appended from here on, and nobody is behind.
    observer.at_rest(PATIENCE).await.unwrap();
    mesh.stop_roles(&ROLES).await.unwrap();
    let before = mesh.run(&["replay", "digest", "--all"]).await.unwrap();
    assert_eq!(before.lines().count(), READ_MODELS.len() + 2);

    let (keys, files) = observer.forget_everything(&READ_MODELS).await.unwrap();
    assert!(keys > 0 && files > 0, "{keys} keys, {files} files");
    assert!(observer.trail(known.correlation()).await.is_err());
    mesh.run(&["replay", "rebuild", "--all"]).await.unwrap();

    let after = mesh.run(&["replay", "digest", "--all"]).await.unwrap();
    assert_eq!(after, before);
    assert_eq!(observer.trail(known.correlation()).await.unwrap(), trail);

    // The index knows what was there: the same ticket, told again, is merged.
    mesh.start_roles(&ROLES).await.unwrap();
    let told_again = Ticket {
        delivery_id: format!("{}_again", known.delivery_id),
        ..known.clone()
    };
    mesh.sender().unwrap().deliver(&told_again).await.unwrap();
    let merged = observer
        .recorded(told_again.correlation(), "ContextMerged")
        .await
        .unwrap();
    let into = &of_name(&merged, "ContextMerged")[0].body["context_id"];
    assert_eq!(
        into,
        &of_name(&trail, "ContextShared")[0].body["context_id"]
    );
    assert!(!names(&merged).contains(&"WorkflowStarted"));
}
