//! B35: addresses that lead where nobody from outside may go.

use std::collections::BTreeMap;

use serde_json::json;
use tests_gateway::{Ground, Row};

use crate::counted;

const ADDRESSES: [&str; 10] = [
    "http://169.254.169.254/latest/meta-data",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:127.0.0.1]:9/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://10.0.0.1/",
    "http://192.168.1.1/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[fd00::1]/",
    "http://0.0.0.0/",
];

pub(crate) async fn run(ground: &Ground) -> Row {
    // It is the registry that is asked, so it is its memory.
    let memory = ground.memory_of_registry().begin().unwrap();
    let mut said = BTreeMap::new();
    for (n, address) in ADDRESSES.iter().enumerate() {
        let agent = json!({"name": "a", "endpoint": address, "tools": ["t"]});
        let id = format!("b35-{n}");
        let (status, answer) = ground.put("acme", "agents", &id, &agent).await.unwrap();
        assert_eq!(status.as_u16(), 422, "{address}: {answer}");
        assert!(answer.contains("/endpoint"), "{address}: {answer}");
        *said.entry("422 `invalid-resource`".to_owned()).or_insert(0) += 1;
    }
    Row {
        row: 35,
        what:
            "an agent's endpoint that is link-local, private, mapped, decimal (names: at connect)"
                .to_owned(),
        requests: ADDRESSES.len(),
        answers: counted(&said),
        kept: "none".to_owned(),
        memory: memory.peak().unwrap(),
    }
}
