//! Schemas, locks and guarded checkpoints on a real Postgres.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use platform_postgres::tokio_postgres::types::Type;
use platform_postgres::{
    Checkpoints, Claimed, Error, Migration, OnConflict, Pool, Resolution, Table, drop_schema,
    incarnation, lock_exclusive, migrate, schema_name, try_lock_exclusive, use_schema,
};
use platform_testkit::TestBed;

const PARTITIONS: [(&str, i32); 2] = [("mesh.things", 0), ("mesh.things", 1)];

const FIRST: Migration = Migration {
    version: 1,
    name: "things",
    sql: "CREATE TABLE thing (id bigint PRIMARY KEY)",
};

const SECOND: Migration = Migration {
    version: 2,
    name: "names",
    sql: "ALTER TABLE thing ADD COLUMN name text",
};

async fn bed(name: &str) -> (TestBed, Pool) {
    let bed = TestBed::new(name).await.unwrap();
    let pool = Pool::connect(&bed.settings.postgres).unwrap();
    (bed, pool)
}

/// An owner that is stopped in the middle of a transaction must not keep others
/// from its rows for ever.
#[tokio::test]
async fn the_server_ends_a_transaction_in_which_nothing_is_asked() {
    let (_bed, pool) = bed("idle").await;
    let client = pool.get().await.unwrap();
    let row = client
        .query_one("SHOW idle_in_transaction_session_timeout", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "15s");
}

async fn with_schema(name: &str) -> (TestBed, Pool) {
    let (bed, pool) = bed(name).await;
    migrate(&pool, "things", &[FIRST]).await.unwrap();
    (bed, pool)
}

fn upto(claims: &[Claimed], offset: i64) -> Vec<Claimed> {
    claims
        .iter()
        .map(|claim| Claimed {
            next_offset: offset,
            ..claim.clone()
        })
        .collect()
}

async fn advance(pool: &Pool, owner: &Checkpoints, claims: &[Claimed]) -> Result<(), Error> {
    let mut client = pool.get().await.unwrap();
    let tx = client.transaction().await.unwrap();
    owner.advance(&tx, claims).await?;
    tx.commit().await?;
    Ok(())
}

#[tokio::test]
async fn migrations_apply_once_and_in_order_whoever_calls() {
    let (_bed, pool) = bed("migrations").await;
    let all = tokio::join!(
        migrate(&pool, "things", &[FIRST]),
        migrate(&pool, "things", &[FIRST]),
        migrate(&pool, "things", &[FIRST]),
    );
    assert!(all.0.is_ok() && all.1.is_ok() && all.2.is_ok(), "{all:?}");
    migrate(&pool, "things", &[FIRST, SECOND]).await.unwrap();
    let client = pool.get().await.unwrap();
    client
        .execute("INSERT INTO things.thing (id, name) VALUES (1, 'a')", &[])
        .await
        .unwrap();
    let path: String = client
        .query_one("SHOW search_path", &[])
        .await
        .unwrap()
        .get(0);
    assert!(
        !path.contains("things"),
        "the pool's connections keep theirs"
    );

    let changed = Migration {
        sql: "CREATE TABLE other (id bigint)",
        ..FIRST
    };
    let error = migrate(&pool, "things", &[changed, SECOND])
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Migrate { .. }), "{error:?}");
}

#[tokio::test]
async fn a_missing_table_shows_until_the_schema_is_created_anew() {
    let (_bed, pool) = with_schema("incarnation").await;
    let client = pool.get().await.unwrap();
    let first = incarnation(&**client, "things").await.unwrap().unwrap();
    assert!(!first.broken);
    client
        .batch_execute("DROP TABLE things.thing")
        .await
        .unwrap();
    migrate(&pool, "things", &[FIRST]).await.unwrap();
    let found = incarnation(&**client, "things").await.unwrap().unwrap();
    assert!(found.broken);
    assert_eq!(found.id, first.id);

    drop_schema(&pool, "things").await.unwrap();
    assert_eq!(incarnation(&**client, "things").await.unwrap(), None);
    migrate(&pool, "things", &[FIRST]).await.unwrap();
    let found = incarnation(&**client, "things").await.unwrap().unwrap();
    assert!(!found.broken);
    assert_ne!(found.id, first.id);
}

#[tokio::test]
async fn few_rows_or_many_are_added_unless_they_are_there() {
    let (_bed, pool) = bed("copy").await;
    migrate(&pool, "things", &[FIRST, SECOND]).await.unwrap();
    let mut client = pool.get().await.unwrap();
    let tx = client.transaction().await.unwrap();
    use_schema(&tx, "things").await.unwrap();
    let rows = |ids: std::ops::Range<i64>| -> Vec<Thing> {
        ids.map(|id| (id, format!("name {id}"))).collect()
    };
    let count = async || -> i64 {
        let found = tx.query_one("SELECT count(*) FROM thing", &[]).await;
        found.unwrap().get(0)
    };
    let name = async |id: i64| -> String {
        let query = "SELECT name FROM thing WHERE id = $1";
        tx.query_one(query, &[&id]).await.unwrap().get(0)
    };
    THINGS.append(&tx, &rows(0..3)).await.unwrap();
    assert_eq!(count().await, 3, "few are inserted");
    THINGS.append(&tx, &rows(3..600)).await.unwrap();
    assert_eq!(count().await, 600, "many are copied");

    let mut again = rows(599..900);
    "another".clone_into(&mut again[0].1);
    THINGS.append(&tx, &again).await.unwrap();
    assert_eq!(count().await, 900, "a row that was there adds none");
    assert_eq!(name(599).await, "name 599", "and stays as it was");
    assert_eq!(name(899).await, "name 899");

    tx.batch_execute("SAVEPOINT before").await.unwrap();
    let error = THINGS.copy(&tx, &rows(0..300)).await.unwrap_err();
    assert!(Error::from(error).is_data_error(), "they are there already");
    tx.batch_execute("ROLLBACK TO before").await.unwrap();
    let error = MISTYPED.append(&tx, &rows(900..1200)).await.unwrap_err();
    assert!(error.to_string().contains("serializ"), "{error}");
}

type Thing = (i64, String);

const THINGS: Table<Thing> = Table {
    name: "thing",
    columns: &[
        ("id", Type::INT8, |row| &row.0),
        ("name", Type::TEXT, |row| &row.1),
    ],
    on_conflict: OnConflict::Nothing,
};

const MISTYPED: Table<Thing> = Table {
    name: "thing",
    columns: &[("id", Type::INT4, |row| &row.0)],
    on_conflict: OnConflict::Nothing,
};

const LONGER_NAMES: Table<Thing> = Table {
    on_conflict: OnConflict::Update {
        keys: &["id"],
        set: &["name"],
        set_if_given: &[],
        only_if: "length(known.name) < length(excluded.name)",
    },
    ..THINGS
};

#[tokio::test]
async fn an_update_changes_what_is_there_and_says_how_much() {
    let (_bed, pool) = with_schema("updates").await;
    migrate(&pool, "things", &[FIRST, SECOND]).await.unwrap();
    let rows = [(1, "a"), (2, "bb"), (3, "c")].map(|(id, name)| (id, name.to_owned()));
    let changes = [(1, "aa"), (2, "b"), (4, "d")].map(|(id, name)| (id, name.to_owned()));
    let mut client = pool.get().await.unwrap();
    let tx = client.transaction().await.unwrap();
    use_schema(&tx, "things").await.unwrap();
    THINGS.insert(&tx, &rows).await.unwrap();
    assert_eq!(THINGS.update(&tx, &changes).await.unwrap(), 0, "they stay");
    assert_eq!(LONGER_NAMES.update(&tx, &[]).await.unwrap(), 0);
    assert_eq!(LONGER_NAMES.update(&tx, &changes).await.unwrap(), 1);
    let names = async || {
        let sql = "SELECT string_agg(id || name, ' ' ORDER BY id) FROM thing";
        tx.query_one(sql, &[]).await.unwrap().get::<_, String>(0)
    };
    assert_eq!(names().await, "1aa 2bb 3c");
    LONGER_NAMES.insert(&tx, &changes).await.unwrap();
    assert_eq!(names().await, "1aa 2bb 3c 4d");
}

#[tokio::test]
async fn only_the_last_owner_commits() {
    let (_bed, pool) = with_schema("owners").await;
    let first = Checkpoints::new("things", "first");
    let claims = first.claim(&pool, &PARTITIONS).await.unwrap();
    assert_eq!(claims.len(), 2);
    advance(&pool, &first, &upto(&claims, 5)).await.unwrap();

    let second = Checkpoints::new("things", "second");
    let taken = second.claim(&pool, &PARTITIONS[..1]).await.unwrap();
    assert_eq!((taken[0].next_offset, taken[0].generation), (5, 2));
    let refused = advance(&pool, &first, &upto(&claims, 9)).await.unwrap_err();
    assert!(matches!(refused, Error::Fenced { .. }));
    let refused = first.verify(&pool, &claims).await.unwrap_err();
    assert!(matches!(refused, Error::Fenced { .. }));
    let positions = Checkpoints::positions(&pool, "things").await.unwrap();
    let offsets: Vec<i64> = positions.iter().map(|claim| claim.next_offset).collect();
    assert_eq!(offsets, [5, 5], "all or nothing");
    let kept: Vec<Claimed> = claims
        .iter()
        .filter(|claim| claim.partition == 1)
        .cloned()
        .collect();
    advance(&pool, &first, &upto(&kept, 7)).await.unwrap();
    second.verify(&pool, &taken).await.unwrap();
}

#[tokio::test]
async fn an_owner_from_before_the_schema_was_dropped_is_fenced() {
    let (_bed, pool) = with_schema("recreated").await;
    let before = Checkpoints::new("things", "before");
    let claims = before.claim(&pool, &PARTITIONS).await.unwrap();
    drop_schema(&pool, "things").await.unwrap();
    let missing = advance(&pool, &before, &claims).await.unwrap_err();
    assert!(missing.is_schema_missing());
    migrate(&pool, "things", &[FIRST]).await.unwrap();
    let after = Checkpoints::new("things", "after");
    let again = after.claim(&pool, &PARTITIONS).await.unwrap();
    assert_eq!(again[0].generation, claims[0].generation, "counted anew");
    let refused = advance(&pool, &before, &claims).await.unwrap_err();
    assert!(matches!(refused, Error::Fenced { .. }));
}

#[tokio::test]
async fn a_claim_waits_for_a_commit_under_way() {
    let (_bed, pool) = with_schema("waits").await;
    let first = Checkpoints::new("things", "first");
    let claims = first.claim(&pool, &PARTITIONS).await.unwrap();
    let mut client = pool.get().await.unwrap();
    let tx = client.transaction().await.unwrap();
    first.advance(&tx, &upto(&claims, 3)).await.unwrap();

    let second = Checkpoints::new("things", "second");
    let mut claim = std::pin::pin!(second.claim(&pool, &PARTITIONS));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut claim).await;
    assert!(early.is_err(), "it waits");
    tx.commit().await.unwrap();
    let taken = claim.await.unwrap();
    assert_eq!(taken[0].next_offset, 3, "and sees what was committed");
}

#[tokio::test]
async fn a_lost_answer_to_a_commit_is_resolved() {
    let (_bed, pool) = with_schema("resolve").await;
    let owner = Checkpoints::new("things", "owner");
    let claims = owner.claim(&pool, &PARTITIONS).await.unwrap();
    let wanted = upto(&claims, 4);
    let found = owner.resolve(&pool, &wanted).await.unwrap();
    assert_eq!(found, Resolution::NotCommitted);
    advance(&pool, &owner, &wanted).await.unwrap();
    let found = owner.resolve(&pool, &wanted).await.unwrap();
    assert_eq!(found, Resolution::Committed);
    let other = Checkpoints::new("things", "other");
    other.claim(&pool, &PARTITIONS).await.unwrap();
    let found = owner.resolve(&pool, &wanted).await.unwrap();
    assert_eq!(found, Resolution::Fenced);
}

#[tokio::test]
async fn a_rebuild_keeps_claims_out_and_lets_them_in_again() {
    let (_bed, pool) = with_schema("locked").await;
    let owner = Checkpoints::new("things", "owner");
    let lock = lock_exclusive(&pool, "things").await.unwrap();
    let refused = owner.claim(&pool, &PARTITIONS).await.unwrap_err();
    assert!(matches!(refused, Error::Locked { .. }));
    assert!(try_lock_exclusive(&pool, "things").await.unwrap().is_none());
    owner.claim_locked(&pool, &PARTITIONS).await.unwrap();
    // Another schema is none of its business.
    migrate(&pool, "others", &[]).await.unwrap();
    Checkpoints::new("others", "owner")
        .claim(&pool, &PARTITIONS)
        .await
        .unwrap();
    drop(lock);
    platform_testkit::eventually(Duration::from_secs(30), || async {
        owner.claim(&pool, &PARTITIONS).await
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn errors_tell_values_from_servers() {
    let (_bed, pool) = with_schema("errors").await;
    let mut client = pool.get().await.unwrap();
    let tx = client.transaction().await.unwrap();
    use_schema(&tx, "things").await.unwrap();
    tx.execute("INSERT INTO thing VALUES (1)", &[])
        .await
        .unwrap();
    let twice: Error = tx
        .execute("INSERT INTO thing VALUES (1)", &[])
        .await
        .unwrap_err()
        .into();
    assert!(twice.is_data_error() && !twice.is_ambiguous());
    drop(tx);
    let gone: Error = client
        .execute("SELECT pg_terminate_backend(pg_backend_pid())", &[])
        .await
        .unwrap_err()
        .into();
    assert!(gone.is_ambiguous() && !gone.is_data_error());
    drop(client);
    // The pool does not lend the lost connection once it has noticed.
    platform_testkit::eventually(Duration::from_secs(30), || async {
        let client = pool.get().await?;
        client.query_one("SELECT 1", &[]).await.map_err(Error::from)
    })
    .await
    .unwrap();
}

#[test]
fn names_become_schemas() {
    assert_eq!(schema_name("context-cache"), "context_cache");
}
