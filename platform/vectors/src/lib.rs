//! Vector index: usearch with a checksummed file.
