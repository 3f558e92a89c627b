//! What the commands do, through the binary and on real servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod dead_letters;
mod dev_tls;
mod migrate;
mod replay_digest;
mod schemas;
