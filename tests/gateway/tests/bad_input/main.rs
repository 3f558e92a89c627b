//! The 48 kinds of bad input, one after another against one gateway. Each row
//! says what is to be answered and what is to stand on the log; how much memory
//! the gateway may grow by is the same for all. With `UPDATE_DOCS` set, the table
//! goes into `docs/BAD-INPUT.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod connections;
mod documents;
mod http;
mod identity;
mod outbound;
mod rapid_reset;
mod repeats;
mod signatures;
mod smuggling;
mod table;

use table::{OnTheLog, counted, digest, note, tells_nothing};
