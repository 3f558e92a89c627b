#![allow(clippy::unwrap_used, clippy::expect_used)]

mod asyncapi;
mod compatibility;
mod golden;
mod keys;
mod rendering;
mod samples;
mod schema_files;
mod upcasting;
