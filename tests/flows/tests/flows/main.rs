//! What one webhook leads to, on a mesh of one process a role that all these
//! tests share. Each has tickets, customers and, where it counts what a source
//! sent, a source of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod compensation;
mod documented;
mod duplicates;
mod happy;
mod invoke;
mod merging;
mod refusals;

use std::sync::{Arc, Weak};

use tests_kit::Mesh;
use tokio::sync::Mutex;

/// The mesh as long as any test uses it: the last one to let go ends its
/// processes, which a static would not.
static SHARED: Mutex<Weak<Mesh>> = Mutex::const_new(Weak::new());

async fn shared_mesh() -> Arc<Mesh> {
    let mut shared = SHARED.lock().await;
    if let Some(mesh) = shared.upgrade() {
        return mesh;
    }
    let mesh = Arc::new(Mesh::start("flows", |_| {}).await.unwrap());
    *shared = Arc::downgrade(&mesh);
    mesh
}
