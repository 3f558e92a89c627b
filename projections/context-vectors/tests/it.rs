//! The index as a fold, and its file.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use domain_kernel::{ContextId, EventId, Space, TenantId};
use platform_config::Settings;
use platform_embed::{Embedder, HashedNgrams};
use platform_log::SchemaRegistry;
use platform_projector::{ShadowStore, StoreProjection};
use projections_context_vectors::{Change, ContextVectors, Entry, Merge, PartitionIndex, profile};
use serde_json::json;
use std::sync::Arc;

fn add(name: &str, offset: i64) -> Change {
    let text = format!("Refund for {name}, please");
    Change::Add {
        entry: Box::new(Entry {
            context_id: ContextId::derive(&[name]),
            delivery: EventId::derive(&[name]),
            profile: profile(
                &TenantId::new("acme"),
                &Space::new("support"),
                "ticket",
                "ada",
                &text,
                &json!({"amount": 5}),
            ),
        }),
        text,
        offset,
    }
}

fn merge(delivery: &str, into: &str, offset: i64) -> Change {
    Change::Merge {
        merge: Merge {
            delivery: EventId::derive(&[delivery]),
            into: ContextId::derive(&[into]),
            instead_of: ContextId::derive(&[delivery, "content"]),
        },
        offset,
    }
}

#[test]
fn reading_again_changes_nothing() {
    let model = HashedNgrams::default();
    let mut index = PartitionIndex::new(model.dimensions()).unwrap();
    for _ in 0..2 {
        for change in [add("one", 3), merge("two", "one", 4), add("three", 9)] {
            index.fold(change, &model).unwrap();
        }
    }
    assert_eq!((index.len(), index.next_offset()), (2, 10));
    let one = ContextId::derive(&["one"]);
    assert_eq!(index.placed(EventId::derive(&["two"])), Some(one));
    assert_eq!(index.holding(one), Some(one));
    assert_eq!(
        index.holding(ContextId::derive(&["two", "content"])),
        Some(one)
    );
    assert_eq!(index.holding(ContextId::derive(&["two"])), None);
}

#[tokio::test]
async fn a_file_that_is_not_whole_counts_for_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = Settings::defaults().unwrap();
    settings.data_dir = directory.path().to_owned();
    let store = || {
        let registry = SchemaRegistry::new(&settings.schema_registry).unwrap();
        ContextVectors::new(&settings, registry, Arc::new(HashedNgrams::default()))
    };
    let upto = |offset: i64| vec![("mesh.contexts".to_owned(), offset)];
    let changes = || vec![add("one", 3), merge("two", "one", 4)];
    store().apply(1, changes(), &upto(6), 1).await.unwrap();
    assert_eq!(store().positions(1).await.unwrap(), upto(6));
    assert_eq!(store().positions(0).await.unwrap(), upto(0));

    let file = directory.path().join("vectors/1.usearch");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(store().positions(1).await.unwrap(), upto(0));
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(store().positions(1).await.unwrap(), upto(6));
    store().clear().await.unwrap();
    assert!(!file.exists());
}

#[tokio::test]
async fn files_made_beside_take_the_place_of_those_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = Settings::defaults().unwrap();
    settings.data_dir = directory.path().to_owned();
    let registry = SchemaRegistry::new(&settings.schema_registry).unwrap();
    let live = ContextVectors::new(&settings, registry, Arc::new(HashedNgrams::default()));
    let upto = |offset: i64| vec![("mesh.contexts".to_owned(), offset)];
    for partition in [0, 1] {
        let wrong = vec![add("wrong", 3)];
        live.apply(partition, wrong, &upto(4), 1).await.unwrap();
    }
    let next = live.beside("next");
    assert_eq!(next.positions(1).await.unwrap(), upto(0));
    next.apply(1, vec![add("right", 3)], &upto(9), 1)
        .await
        .unwrap();
    assert_eq!(live.positions(1).await.unwrap(), upto(4));

    // Whoever comes later goes on with what was made beside.
    let next = live.beside("next");
    assert_eq!(next.positions(1).await.unwrap(), upto(9));
    let built = next.content(2).await.unwrap();
    live.replace_with(&next, &[]).await.unwrap();
    let vectors = directory.path().join("vectors");
    assert_eq!(live.positions(1).await.unwrap(), upto(9));
    assert_eq!(live.positions(0).await.unwrap(), upto(0));
    assert!(!vectors.join("0.usearch").exists());
    assert!(!vectors.join("beside-next").exists());
    assert_eq!(next.positions(1).await.unwrap(), upto(0));
    assert_eq!(built.entries.len(), 1);
    assert!(
        built.entries[0]
            .1
            .contains(&ContextId::derive(&["right"]).to_string())
    );
    live.clear().await.unwrap();
}
