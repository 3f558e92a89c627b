//! A rolling restart of the gateway: two processes at one address, a steady
//! load, and nobody notices.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod rolling;
