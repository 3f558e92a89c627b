//! Kafka, schema registry, Postgres and Redis as child processes.
