//! Faults on real servers and real processes, and one oracle for all of them.
//!
//! A [`Stand`] is a mesh of one process a role over three brokers, Postgres,
//! Redis and a schema registry of its own, with a fault [`Proxy`] before each.
//! Senders put it under load; a [`Fault`] breaks something meanwhile; then it is
//! judged, from outside, whether everything that was acknowledged was applied,
//! nothing twice, in order, and whether the read models are what a full replay
//! of the log makes of it.

mod dice;
mod disk;
mod fault;
mod faults;
mod history;
mod ledger;
mod load;
mod oracle;
mod proxy;
mod report;
mod rest;
mod run;
mod scene;
mod stand;

pub use dice::Dice;
pub use fault::Fault;
pub use history::{Delivery, History};
pub use ledger::Ledger;
pub use oracle::{Verdict, judge};
pub use proxy::{Conditions, Proxy, When};
pub use report::{Report, Row};
pub use run::{Options, run};
pub use scene::{Profile, Scene};
pub use stand::Stand;
