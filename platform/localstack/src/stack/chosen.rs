//! On which ports the servers of a stack listen.

use crate::options::Ports;
use crate::server::kafka;
use crate::{Error, FreePorts, StackOptions};

/// Ports for the servers, chosen together so that none is chosen twice.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) kafka: Vec<kafka::Node>,
    pub(super) schema_registry: u16,
    pub(super) postgres: u16,
    pub(super) redis: u16,
}

impl Chosen {
    pub(super) fn choose(options: &StackOptions) -> Result<Self, Error> {
        let mut free = FreePorts::default();
        let (kafka, schema_registry, postgres, redis) = match options.ports {
            Ports::Standard => (
                free.preferably(9092)?,
                free.preferably(8081)?,
                free.preferably(5432)?,
                free.preferably(6379)?,
            ),
            Ports::Free => (free.any()?, free.any()?, free.any()?, free.any()?),
            Ports::Given {
                kafka,
                schema_registry,
                postgres,
                redis,
            } => (
                free.exactly("Kafka", kafka)?,
                free.exactly("the schema registry", schema_registry)?,
                free.exactly("Postgres", postgres)?,
                free.exactly("Redis", redis)?,
            ),
        };
        let mut nodes = Vec::new();
        for number in 0..options.kafka_nodes.clamp(1, kafka::NAMES.len()) {
            let port = if number == 0 { kafka } else { free.any()? };
            let advertised = options.kafka_advertised.get(number);
            nodes.push(kafka::Node {
                port,
                advertised: advertised.copied().unwrap_or(port),
                inner: free.any()?,
                controller: free.any()?,
            });
        }
        Ok(Self {
            kafka: nodes,
            schema_registry,
            postgres,
            redis,
        })
    }
}
