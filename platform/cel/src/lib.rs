//! CEL conditions and mappings over JSON.
