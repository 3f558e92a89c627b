//! Published events: Avro schemas and the mapping from and to the domain.
