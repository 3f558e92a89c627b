//! Commands of the docs, run as they stand there.

use serde_json::Value;

use tests_kit::{Mesh, Ticket};

use crate::shared_mesh;

const API: &str = include_str!("../../../../docs/API.md");
const README: &str = include_str!("../../../../README.md");

/// The commands of a page, a block each.
fn commands(page: &str) -> impl Iterator<Item = &str> {
    let blocks = page.split("```sh\n").skip(1);
    blocks.map(|block| block.split_once("```").unwrap().0)
}

/// The gateway has seen what was registered when it takes a ticket of the source,
/// which came last.
async fn once_all_is_known(mesh: &Mesh) {
    let ticket = Ticket::new("DOCUMENTED");
    mesh.sender().unwrap().deliver(&ticket).await.unwrap();
}

fn json(said: &str) -> Value {
    serde_json::from_str(said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_api_s_page_do_what_it_says() {
    let mesh = shared_mesh().await;
    once_all_is_known(&mesh).await;
    let mut said = Vec::new();
    for block in commands(API) {
        said.push(mesh.run_documented(block).await.unwrap());
    }
    let [keys, asked, later, batch] = said.as_slice() else {
        panic!("there is a command that nobody looks at: {said:?}");
    };
    let keys: Vec<&str> = keys.lines().collect();
    assert!(keys[0].starts_with("amk_ada_"), "{keys:?}");
    assert!(keys[1].starts_with("amk_ada_…  ada  invoke"), "{keys:?}");
    let asked = json(asked);
    assert_eq!(asked["status"], "succeeded");
    assert_eq!(asked["output"]["category"], "billing");
    // How far it has come by now, nobody knows.
    assert!(json(later)["execution_id"].is_string());
    let batch = json(batch);
    assert_eq!(batch["accepted"], 2, "{batch}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_s_own_webhook_is_taken_once() {
    let mesh = shared_mesh().await;
    let mut blocks = commands(README).filter(|block| block.contains("/hooks/"));
    let (Some(webhook), None) = (blocks.next(), blocks.next()) else {
        panic!("the README has one webhook to send");
    };
    once_all_is_known(&mesh).await;
    let first = mesh.run_documented(webhook).await.unwrap();
    assert!(first.contains("202 Accepted"), "{first}");
    assert!(!first.contains("idempotent-replayed"), "{first}");
    let again = mesh.run_documented(webhook).await.unwrap();
    assert!(again.contains("idempotent-replayed: true"), "{again}");
}
