//! The runners under a seed: the real runners of deciders and of read models, in
//! Postgres and elsewhere, on a log, stores and a clock of our own, with crashes,
//! stalls, lost answers and zombies at every await, and an oracle that knows what
//! must be true when all is quiet.
//!
//! One seed is one history: scheduler, clock and faults draw from it and from
//! nothing else. `SIMULATION_SEED=<n>` runs one seed and prints its history,
//! `SIMULATION_SEEDS=<n>` sets how many are run.

mod broker;
mod chance;
mod log;
mod model;
mod oracle;
mod scenario;
mod scheduler;
mod shelf;
mod store;
mod tests;
mod world;
