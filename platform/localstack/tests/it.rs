//! The stack with real servers: what is written stays, what is stopped is gone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use platform_localstack::{
    Durability, Error, Given, Ports, Signal, Stack, StackOptions, default_libs_dir, execute_sql,
};

fn options(data_dir: &Path) -> StackOptions {
    StackOptions {
        ports: Ports::Free,
        durability: Durability::ProcessCrash,
        given: Given::default(),
        ..StackOptions::new(
            data_dir,
            default_libs_dir(Path::new(env!("CARGO_MANIFEST_DIR"))),
        )
    }
}

/// The body of the answer to a bare HTTP request.
fn http(base: &str, method: &str, path: &str, body: &str) -> String {
    let rest = base.strip_prefix("http://").unwrap();
    let (address, prefix) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} /{prefix}{path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn redis(url: &str, command: &str) -> String {
    let mut stream = TcpStream::connect(url.strip_prefix("redis://").unwrap()).unwrap();
    write!(stream, "{command}\r\nQUIT\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

const SCHEMA: &str = r#"{"schema":"{\"type\":\"record\",\"name\":\"Kept\",\"fields\":[]}"}"#;

/// One test for one life of a stack: starting servers is what takes the time.
#[tokio::test]
async fn a_stack_keeps_its_data_is_found_again_and_notices_a_dead_server() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");

    // Written while it runs for the first time, on ports of its own.
    let stack = Stack::start(options(&data_dir)).await.unwrap();
    let first = stack.endpoints().clone();
    assert_eq!(stack.status().len(), 4);
    let registered = http(
        &first.schema_registry_url,
        "POST",
        "/subjects/kept/versions",
        SCHEMA,
    );
    execute_sql(&first.database_url, "CREATE TABLE kept AS SELECT 7 AS n").unwrap();
    assert!(redis(&first.redis_url, "SET kept yes").starts_with("+OK"));
    stack.stop().await.unwrap();
    assert!(Stack::attach(&data_dir).await.unwrap().is_none());

    // All of it is there when it runs again, on other ports.
    let stack = Stack::start(options(&data_dir)).await.unwrap();
    let second = stack.endpoints().clone();
    assert_ne!(first, second);
    assert!(registered.contains("\"id\":"), "{registered}");
    let again = http(
        &second.schema_registry_url,
        "POST",
        "/subjects/other/versions",
        SCHEMA,
    );
    assert_eq!(again, registered, "a schema keeps its id");
    assert_eq!(
        execute_sql(&second.database_url, "SELECT n FROM kept").unwrap(),
        "7"
    );
    assert!(redis(&second.redis_url, "GET kept").contains("yes"));

    // Detached it is found, and not started a second time.
    stack.detach();
    let busy = Stack::start(options(&data_dir)).await.unwrap_err();
    assert!(matches!(busy, Error::AlreadyRunning { .. }), "{busy}");
    let found = Stack::attach(&data_dir).await.unwrap().unwrap();
    assert_eq!(found.endpoints(), &second);
    let shared = Stack::ensure(options(&data_dir)).await.unwrap();
    assert_eq!(shared.endpoints(), &second);

    // With one server gone it is no stack, and the rest is cleared away.
    let status = found.status();
    let redis = status.iter().find(|server| server.name == "redis").unwrap();
    let kafka = status.iter().find(|server| server.name == "kafka").unwrap();
    let redis = platform_localstack::Identity::of(redis.pid).unwrap();
    let kafka = platform_localstack::Identity::of(kafka.pid).unwrap();
    redis.signal(Signal::KILL).unwrap();
    while redis.is_alive() {
        tokio::task::yield_now().await;
    }
    assert!(Stack::attach(&data_dir).await.unwrap().is_none());
    assert!(!kafka.is_alive());

    // Not kept, it neither begins with what another left nor leaves anything.
    let given = Given {
        kafka_brokers: Some("kafka.example:9092".to_owned()),
        schema_registry_url: Some("http://registry.example".to_owned()),
        ..Given::default()
    };
    let stack = Stack::start(StackOptions {
        keep: false,
        given,
        ..options(&data_dir)
    })
    .await
    .unwrap();
    assert_eq!(stack.status().len(), 2, "what is given is not started");
    assert_eq!(stack.endpoints().kafka_brokers, "kafka.example:9092");
    let left = execute_sql(
        &stack.endpoints().database_url,
        "SELECT count(*) FROM pg_class WHERE relname = 'kept'",
    );
    assert_eq!(left.unwrap(), "0");
    stack.stop().await.unwrap();
    assert!(!data_dir.exists());
}

#[tokio::test]
async fn what_is_not_installed_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&dir.path().join("data"));
    options.libs_dir = dir.path().join("libs");
    options.given.database_url = Some("postgres://a@127.0.0.1:1/a".to_owned());
    options.given.redis_url = Some("redis://127.0.0.1:1".to_owned());
    options.given.schema_registry_url = Some("http://127.0.0.1:1".to_owned());
    let error = Stack::start(options).await.unwrap_err().to_string();
    assert!(error.contains("a Java runtime"), "{error}");
    assert!(error.contains("deploy/local/install.sh"), "{error}");
}

#[tokio::test]
async fn the_log_of_a_server_that_dies_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    // A Redis whose append-only file is nonsense refuses to start.
    let files = data_dir.join("redis/appendonlydir");
    std::fs::create_dir_all(&files).unwrap();
    std::fs::write(files.join("appendonly.aof.manifest"), "nonsense\n").unwrap();
    let mut options = options(&data_dir);
    options.given.kafka_brokers = Some("127.0.0.1:1".to_owned());
    options.given.database_url = Some("postgres://a@127.0.0.1:1/a".to_owned());
    options.given.schema_registry_url = Some("http://127.0.0.1:1".to_owned());
    let error = Stack::start(options).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Died {
                server: "redis",
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("manifest"), "{error}");
}
