//! What `docs/senders/` says, done: the sources are registered as they are
//! written there, the code is run, and the libraries that senders use sign
//! deliveries that the gateway takes in as they come.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod accepted;
mod documented;
mod libraries;
mod platforms;

use accepted::{PUBLIC, SECRET, WHSEC, deliver, put, recorded};
