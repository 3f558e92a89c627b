//! Context embeddings in a usearch index.
