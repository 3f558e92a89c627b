//! The faults, one file a component. Each breaks something under load, sees to
//! it that it was really broken, and mends it.

mod brokers;
mod certificates;
mod clock;
mod consumers;
mod disks;
mod gateway;
mod planted;
mod poison;
mod postgres;
mod redis;
mod repeats;
mod schema_registry;
mod vectors;
mod zombies;

use crate::Fault;

/// All of them. Those that lose the most come late.
pub(crate) const ALL: [Fault; 30] = [
    planted::LOST_AND_TWICE,
    gateway::AT_EACH_STEP,
    gateway::AT_RANDOM,
    gateway::PAUSED,
    consumers::KILLED,
    zombies::PAUSED,
    consumers::STORM,
    brokers::RESTARTED,
    brokers::KILLED,
    brokers::TWO_OF_THREE,
    brokers::CUT,
    brokers::SLOW,
    brokers::HALF_OPEN,
    disks::TWO_BROKERS,
    disks::POSTGRES,
    disks::VECTORS,
    repeats::A_HUNDRED_AT_ONCE,
    repeats::SHUFFLED,
    poison::POISON,
    schema_registry::AWAY,
    redis::FLUSHED,
    redis::KILLED,
    redis::SLOW,
    postgres::KILLED_AT_COMMIT,
    postgres::ANSWERS_LOST,
    postgres::STANDBY,
    vectors::LOST,
    clock::OF_THE_GATEWAY,
    clock::OF_CONSUMERS,
    certificates::EXPIRED,
];
