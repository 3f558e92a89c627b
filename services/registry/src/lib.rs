//! The registry: one writer for mesh.registry.
