use std::collections::BTreeSet;

use platform_postgres::Pool;
use platform_testkit::{Proc, TestBed, workspace_dir};

const DOCUMENT: &str = "docs/ARCHITECTURE.md";
const OTHER_RUNNERS: &str = "so are the names of the other runners:";

/// The Postgres schemas that the document names: the folders of its table of
/// read models, but for what is in memory only, and the runners in the sentence
/// below it.
fn named_in_docs() -> BTreeSet<String> {
    let text = std::fs::read_to_string(workspace_dir().join(DOCUMENT)).unwrap();
    let mut named: BTreeSet<String> = text
        .lines()
        .filter(|line| line.starts_with("| [") && line.contains("](../projections/"))
        .filter(|line| !line.contains("| memory |"))
        .map(|line| line.split(['[', ']']).nth(1).unwrap().replace('-', "_"))
        .collect();
    assert!(named.len() >= 10, "the table of read models: {named:?}");
    let (_, after) = text.split_once(OTHER_RUNNERS).expect(OTHER_RUNNERS);
    let (sentence, _) = after.split_once(". ").unwrap();
    let runners: Vec<&str> = sentence.split('`').skip(1).step_by(2).collect();
    assert!(runners.len() >= 4, "the other runners: {runners:?}");
    named.extend(runners.into_iter().map(str::to_owned));
    named
}

/// Each schema with its tables, and each migration with when it was applied.
async fn in_postgres(pool: &Pool) -> (BTreeSet<String>, Vec<String>) {
    let client = pool.get().await.unwrap();
    let tables = "SELECT n.nspname, t.tablename
                  FROM pg_namespace n LEFT JOIN pg_tables t ON t.schemaname = n.nspname
                  WHERE n.nspname NOT LIKE 'pg\\_%'
                    AND n.nspname NOT IN ('information_schema', 'public')
                  ORDER BY 1, 2";
    let mut schemas = BTreeSet::new();
    let mut content = Vec::new();
    for row in client.query(tables, &[]).await.unwrap() {
        let (schema, table): (String, Option<String>) = (row.get(0), row.get(1));
        if table.as_deref() == Some("mesh_migration") {
            let applied = format!("SELECT version, applied_on FROM {schema}.mesh_migration");
            for row in client.query(&applied, &[]).await.unwrap() {
                let (version, on): (i32, String) = (row.get(0), row.get(1));
                content.push(format!("{schema} V{version} {on}"));
            }
        }
        content.push(format!("{schema}.{table:?}"));
        schemas.insert(schema);
    }
    (schemas, content)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_schema_the_documents_name_is_there_and_again_changes_nothing() {
    let bed = TestBed::new("cli_migrate").await.unwrap();
    let pool = Pool::connect(&bed.settings.postgres).unwrap();
    let mut before = None;
    for _ in 0..2 {
        let output = Proc::command(&bed.settings)
            .unwrap()
            .arg("migrate")
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{complaint}");
        let (schemas, content) = in_postgres(&pool).await;
        assert_eq!(schemas, named_in_docs());
        assert!(
            before
                .replace(content.clone())
                .is_none_or(|old| old == content)
        );
    }
}
