//! Postgres: pool, migrations per schema, checkpoints with owner generation.
