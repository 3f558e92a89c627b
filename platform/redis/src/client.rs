use std::{sync::Arc, time::Duration};

use fred::{
    clients::{Client, Pipeline, WithOptions},
    error::ErrorKind,
    interfaces::{ClientLike, KeysInterface, SortedSetsInterface},
    types::{
        Builder, Expiration, SetOptions, Value,
        config::{Config, Options, ReconnectPolicy},
    },
};
use metrics::counter;
use platform_config::Redis as Settings;
use tracing::{info, warn};

use crate::{Batch, Error, Script, tls};

/// How long any call may take, in all.
pub const DEADLINE: Duration = Duration::from_millis(500);

/// Keys looked at in one step of a scan.
const SCAN_STEP: u32 = 500;

/// A connection to Redis that puts the key prefix before every key. Cheap to
/// clone; clones share one multiplexed connection.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    prefix: Arc<str>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Redis {
    /// Starts a client and waits a moment for its first connection. A server
    /// that is away is no error here: the client keeps trying, and calls say
    /// [`Error::Unavailable`] until it is there.
    ///
    /// # Errors
    /// When `redis.url` is not a Redis URL.
    pub async fn connect(settings: &Settings) -> Result<Self, Error> {
        let mut config = Config::from_url(&settings.url).map_err(Error::Url)?;
        config.fail_fast = false;
        if let (Some(path), Some(_)) = (&settings.authorities, &config.tls) {
            config.tls = Some(tls::trusting(path)?.into());
        }
        let client = Builder::from_config(config)
            .with_connection_config(|connection| {
                connection.connection_timeout = Duration::from_secs(2);
                connection.internal_command_timeout = Duration::from_secs(2);
                connection.unresponsive.max_timeout = Some(Duration::from_secs(5));
                connection.unresponsive.interval = Duration::from_secs(1);
                connection.tcp.nodelay = Some(true);
                connection.max_command_attempts = 1;
            })
            .set_policy(ReconnectPolicy::new_exponential(0, 50, 2_000, 2))
            .build()
            .map_err(Error::Url)?;
        watch(&client);
        // The task ends with the client; its result only repeats what calls report.
        drop(client.connect());
        if tokio::time::timeout(Duration::from_secs(2), client.wait_for_connect())
            .await
            .is_err()
        {
            warn!("redis is away, reconnecting in the background");
        }
        Ok(Self {
            client,
            prefix: settings.key_prefix.as_str().into(),
        })
    }

    /// The key as the server knows it.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// # Errors
    /// When there is no connection just now.
    pub(crate) fn connected(&self) -> Result<(), Error> {
        if self.client.is_connected() {
            return Ok(());
        }
        let error = fred::error::Error::new(ErrorKind::IO, "not connected");
        Err(Error::Unavailable(error))
    }

    /// A client that gives up after [`DEADLINE`] and does not queue while disconnected.
    pub(crate) fn bounded(&self) -> WithOptions<Client> {
        self.client.with_options(&Options {
            timeout: Some(DEADLINE),
            fail_fast: true,
            ..Options::default()
        })
    }

    /// # Errors
    /// When the server is away or too slow.
    pub async fn ping(&self) -> Result<(), Error> {
        observed("ping", self.bounded().ping::<Value>(None).await).map(drop)
    }

    /// # Errors
    /// When the server is away or too slow, or the key holds another type.
    pub async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        observed("get", self.bounded().get(self.key(name)).await)
    }

    /// The values of several keys, in their order.
    ///
    /// # Errors
    /// When the server is away or too slow.
    pub async fn get_many(&self, names: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = names.iter().map(|name| self.key(name)).collect();
        observed("mget", self.bounded().mget(keys).await)
    }

    /// Sets a key, to expire after `ttl` where one is given.
    ///
    /// # Errors
    /// When the server is away or too slow.
    pub async fn set(
        &self,
        name: &str,
        value: impl AsRef<[u8]>,
        ttl: Option<Duration>,
    ) -> Result<(), Error> {
        let answer = self
            .bounded()
            .set::<Value, _, _>(
                self.key(name),
                value.as_ref(),
                ttl.map(expiration),
                None,
                false,
            )
            .await;
        observed("set", answer).map(drop)
    }

    /// Sets a key unless it exists; says whether it was set.
    ///
    /// # Errors
    /// When the server is away or too slow. After [`Error::Deadline`] the key
    /// may have been set all the same.
    pub async fn set_nx(
        &self,
        name: &str,
        value: impl AsRef<[u8]>,
        ttl: Option<Duration>,
    ) -> Result<bool, Error> {
        let answer = self
            .bounded()
            .set::<Value, _, _>(
                self.key(name),
                value.as_ref(),
                ttl.map(expiration),
                Some(SetOptions::NX),
                false,
            )
            .await;
        observed("set_nx", answer).map(|answer| !answer.is_null())
    }

    /// Sets each of these keys unless it exists; says which were set, in their
    /// order. One round trip for all of them.
    ///
    /// # Errors
    /// When the server is away or too slow. After [`Error::Deadline`] some may
    /// have been set all the same.
    pub async fn set_nx_all(
        &self,
        names: &[String],
        value: &[u8],
        ttl: Duration,
    ) -> Result<Vec<bool>, Error> {
        observed("set_nx", self.try_set_nx_all(names, value, ttl).await)
    }

    async fn try_set_nx_all(
        &self,
        names: &[String],
        value: &[u8],
        ttl: Duration,
    ) -> Result<Vec<bool>, Error> {
        let pipeline = Pipeline::from(self.bounded());
        for name in names {
            let (key, ttl) = (self.key(name), Some(expiration(ttl)));
            pipeline
                .set::<Value, _, _>(key, value, ttl, Some(SetOptions::NX), false)
                .await?;
        }
        // One answer each: of a single command it is no array.
        let answers = pipeline.try_all::<Value>().await;
        let set = answers.into_iter().map(|answer| Ok(!answer?.is_null()));
        set.collect()
    }

    /// Removes keys; says how many there were.
    ///
    /// # Errors
    /// When the server is away or too slow.
    pub async fn delete(&self, names: &[String]) -> Result<u64, Error> {
        if names.is_empty() {
            return Ok(0);
        }
        let keys: Vec<String> = names.iter().map(|name| self.key(name)).collect();
        observed("del", self.bounded().unlink(keys).await)
    }

    /// The members of a sorted set with the highest scores, lowest of them first.
    ///
    /// # Errors
    /// When the server is away or too slow, or the key holds another type.
    pub async fn sorted_last(&self, name: &str, count: usize) -> Result<Vec<Vec<u8>>, Error> {
        let Some(last) = i64::try_from(count).ok().filter(|count| *count > 0) else {
            return Ok(Vec::new());
        };
        let answer = self
            .bounded()
            .zrange(self.key(name), -last, -1, None, false, None, false)
            .await;
        observed("zrange", answer)
    }

    /// The names (without the prefix) of the keys that start with `start`. Walks
    /// the key space in steps, so it is for tests, digests and clean-up only;
    /// keys set or removed meanwhile may or may not appear.
    ///
    /// # Errors
    /// When the server is away or a step is too slow.
    pub async fn scan(&self, start: &str) -> Result<Vec<String>, Error> {
        let full = self.key(start);
        let pattern = format!("{}*", escape_glob(&full));
        let mut names = std::collections::BTreeSet::new();
        let mut cursor = String::from("0");
        loop {
            let page = self
                .bounded()
                .scan_page(cursor, pattern.clone(), Some(SCAN_STEP), None)
                .await;
            let (next, keys): (String, Vec<String>) = observed("scan", page)?;
            names.extend(
                keys.iter()
                    .filter_map(|key| key.strip_prefix(self.prefix.as_ref()))
                    .map(str::to_owned),
            );
            if next == "0" {
                return Ok(names.into_iter().collect());
            }
            cursor = next;
        }
    }

    /// Does all of a batch at once or none of it (`MULTI`/`EXEC`).
    ///
    /// # Errors
    /// When the server is away or too slow, or refused a command.
    pub async fn run(&self, batch: Batch) -> Result<(), Error> {
        // The driver's own deadline does not cover a transaction it cannot begin.
        let answer = tokio::time::timeout(DEADLINE, batch.run(self))
            .await
            .unwrap_or_else(|_| Err(fred::error::Error::new(ErrorKind::Timeout, "no answer")));
        observed("exec", answer)
    }

    /// Does each write of a batch by itself, in their order: one round trip for
    /// all of them, and no other call on the connection waits for their answers,
    /// as it would for a transaction. For writes that do not need each other: some
    /// may be done and others not, and others' writes may come in between.
    ///
    /// # Errors
    /// When the server is away or too slow, or with the first write that was
    /// refused. Those before and behind it may have been done all the same.
    pub async fn run_each(&self, batch: Batch) -> Result<(), Error> {
        observed("pipeline", batch.run_each(self).await)
    }

    /// Runs a script atomically. `names` are keys, prefixed here.
    ///
    /// # Errors
    /// When the server is away, or the script failed or took longer than five
    /// seconds. After [`Error::Deadline`] it may still be done.
    pub async fn eval<R: fred::types::FromValue>(
        &self,
        script: &Script,
        names: &[String],
        arguments: Vec<Vec<u8>>,
    ) -> Result<R, Error> {
        let keys: Vec<String> = names.iter().map(|name| self.key(name)).collect();
        observed("eval", script.run(self, keys, arguments).await)
    }
}

pub(crate) fn expiration(ttl: Duration) -> Expiration {
    Expiration::PX(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX).max(1))
}

/// Escapes what `SCAN` would read as a pattern.
fn escape_glob(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn observed<T, E: Into<Error>>(command: &'static str, answer: Result<T, E>) -> Result<T, Error> {
    answer.map_err(|error| {
        let error = error.into();
        counter!("agentmesh_redis_errors_total", "command" => command).increment(1);
        error
    })
}

/// Logs each loss and return of the connection, once.
fn watch(client: &Client) {
    use fred::interfaces::EventInterface;

    client.on_error(|(error, _server)| async move {
        warn!(error.kind = ?error.kind(), "redis connection lost");
        Ok(())
    });
    client.on_reconnect(|_server| async move {
        info!("redis connected");
        counter!("agentmesh_redis_connections_total").increment(1);
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_in_a_prefix_is_taken_literally() {
        assert_eq!(escape_glob("mesh[1]*:"), "mesh\\[1\\]\\*:");
    }

    #[tokio::test]
    async fn a_bad_url_is_an_error_that_names_the_setting() {
        let settings = Settings {
            url: "http//nothing".to_owned(),
            key_prefix: "t:".to_owned(),
            authorities: None,
        };
        let error = Redis::connect(&settings).await.expect_err("no URL");
        assert!(error.to_string().contains("redis.url"));
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_a_value_and_soon() {
        let settings = Settings {
            url: "redis://127.0.0.1:1".to_owned(),
            key_prefix: "t:".to_owned(),
            authorities: None,
        };
        let redis = Redis::connect(&settings).await.expect("starts");
        let begun = std::time::Instant::now();
        let error = redis.get("a").await.expect_err("nobody there");
        assert!(error.is_transient(), "{error:?}");
        assert!(begun.elapsed() < DEADLINE * 2);

        // What the driver does in other ways is away as soon.
        let begun = std::time::Instant::now();
        let names = ["a".to_owned(), "b".to_owned()];
        let script = Script::new("return 1");
        let evaluated = redis.eval::<i64>(&script, &names, Vec::new()).await;
        let set = redis.set_nx_all(&names, b"x", DEADLINE).await;
        let mut batch = Batch::new();
        batch.set("a", b"x", None).delete("b");
        let each = redis.run_each(batch).await;
        for error in [evaluated.map(drop), set.map(drop), each] {
            let error = error.expect_err("nobody there");
            assert!(error.is_transient(), "{error:?}");
        }
        assert!(begun.elapsed() < DEADLINE * 4);
    }
}
