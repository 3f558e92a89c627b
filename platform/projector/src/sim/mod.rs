//! The runners under a seed: the real decider and projection runners on a log, a
//! store and a clock of our own, with crashes, stalls, lost answers and zombies
//! at every await, and an oracle that knows what must be true when all is quiet.
//!
//! One seed is one history: scheduler, clock and faults draw from it and from
//! nothing else. `SIMULATION_SEED=<n>` runs one seed and prints its history,
//! `SIMULATION_SEEDS=<n>` sets how many are run.

mod chance;
mod log;
mod model;
mod oracle;
mod scenario;
mod scheduler;
mod store;
mod tests;
mod world;
