use std::time::Duration;

use fred::{
    interfaces::{KeysInterface, SortedSetsInterface, TransactionInterface},
    types::Value,
};

use crate::{Redis, client::expiration};

/// Writes that are sent together.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    writes: Vec<Write>,
}

#[derive(Debug, Clone)]
enum Write {
    Set {
        name: String,
        value: Vec<u8>,
        ttl: Option<Duration>,
    },
    Delete {
        name: String,
    },
    SortedAdd {
        name: String,
        score: f64,
        member: Vec<u8>,
    },
    SortedKeepLast {
        name: String,
        count: i64,
    },
    Expire {
        name: String,
        ttl: Duration,
    },
}

impl Batch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    pub fn len(&self) -> usize {
        self.writes.len()
    }

    pub fn set(
        &mut self,
        name: impl Into<String>,
        value: impl Into<Vec<u8>>,
        ttl: Option<Duration>,
    ) -> &mut Self {
        self.push(Write::Set {
            name: name.into(),
            value: value.into(),
            ttl,
        })
    }

    pub fn delete(&mut self, name: impl Into<String>) -> &mut Self {
        self.push(Write::Delete { name: name.into() })
    }

    pub fn sorted_add(
        &mut self,
        name: impl Into<String>,
        score: f64,
        member: impl Into<Vec<u8>>,
    ) -> &mut Self {
        self.push(Write::SortedAdd {
            name: name.into(),
            score,
            member: member.into(),
        })
    }

    /// Keeps the `count` members with the highest scores.
    pub fn sorted_keep_last(&mut self, name: impl Into<String>, count: u32) -> &mut Self {
        self.push(Write::SortedKeepLast {
            name: name.into(),
            count: i64::from(count),
        })
    }

    pub fn expire(&mut self, name: impl Into<String>, ttl: Duration) -> &mut Self {
        self.push(Write::Expire {
            name: name.into(),
            ttl,
        })
    }

    fn push(&mut self, write: Write) -> &mut Self {
        self.writes.push(write);
        self
    }

    pub(crate) async fn run(self, redis: &Redis) -> Result<(), fred::error::Error> {
        if self.writes.is_empty() {
            return Ok(());
        }
        let transaction = redis.bounded().multi();
        self.queue(redis, &transaction).await?;
        transaction.exec::<Value>(true).await.map(drop)
    }

    /// Hands the writes to a client that keeps them until it is told to send them.
    async fn queue<C: KeysInterface + SortedSetsInterface>(
        self,
        redis: &Redis,
        client: &C,
    ) -> Result<(), fred::error::Error> {
        for write in self.writes {
            match write {
                Write::Set { name, value, ttl } => {
                    let key = redis.key(&name);
                    let value = value.as_slice();
                    client
                        .set::<Value, _, _>(key, value, ttl.map(expiration), None, false)
                        .await?;
                }
                Write::Delete { name } => {
                    client.unlink::<Value, _>(redis.key(&name)).await?;
                }
                Write::SortedAdd {
                    name,
                    score,
                    member,
                } => {
                    let member = (score, member.as_slice());
                    client
                        .zadd::<Value, _, _>(redis.key(&name), None, None, false, false, member)
                        .await?;
                }
                Write::SortedKeepLast { name, count } => {
                    client
                        .zremrangebyrank::<Value, _>(redis.key(&name), 0, -count - 1)
                        .await?;
                }
                Write::Expire { name, ttl } => {
                    let millis = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
                    client
                        .pexpire::<Value, _>(redis.key(&name), millis, None)
                        .await?;
                }
            }
        }
        Ok(())
    }
}
