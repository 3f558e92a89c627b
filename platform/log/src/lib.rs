//! Kafka: producer, consumer, topics, CloudEvents headers, schema registry.
