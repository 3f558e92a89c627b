//! The registry: agents and every other resource.
