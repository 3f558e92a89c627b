use std::{sync::Arc, time::Duration};

use fred::{
    clients::{Client, WithOptions},
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

// A script where there are many: the driver sends each command of a pipeline by
// itself, and on a socket that costs more than all else that is done for it.
const CLAIM_ALL: Script = Script::new(
    "local before = {}
     for i, key in ipairs(KEYS) do
       before[i] = redis.call('SET', key, ARGV[2], 'NX', 'GET', 'PX', ARGV[1])
     end
     return before",
)
.within(DEADLINE);
const SET_ALL: Script = Script::new(
    "for i, key in ipairs(KEYS) do
       redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[1])
     end",
)
.within(DEADLINE);

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

    fn keys(&self, names: &[String]) -> Vec<String> {
        names.iter().map(|name| self.key(name)).collect()
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
        let client = self.bounded();
        let ping = client.ping::<Value>(None);
        observed("ping", ping).await.map(drop)
    }

    /// # Errors
    /// When the server is away or too slow, or the key holds another type.
    pub async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        observed("get", self.bounded().get(self.key(name))).await
    }

    /// The values of several keys, in their order.
    ///
    /// # Errors
    /// When the server is away or too slow.
    pub async fn get_many(&self, names: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.keys(names);
        observed("mget", self.bounded().mget(keys)).await
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
        let (key, ttl) = (self.key(name), ttl.map(expiration));
        let client = self.bounded();
        let set = client.set::<Value, _, _>(key, value.as_ref(), ttl, None, false);
        observed("set", set).await.map(drop)
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
        let (key, ttl) = (self.key(name), ttl.map(expiration));
        let client = self.bounded();
        let set = client.set::<Value, _, _>(key, value.as_ref(), ttl, Some(SetOptions::NX), false);
        observed("set_nx", set).await.map(|set| !set.is_null())
    }

    /// Sets each of these keys unless it exists; says what stood there before, in
    /// their order: nothing where it was set. One command for all of them.
    ///
    /// # Errors
    /// When the server is away or too slow, or a key holds another type. Some may
    /// have been set all the same.
    pub async fn claim_all(
        &self,
        names: &[String],
        value: &[u8],
        ttl: Duration,
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        match names {
            [] => Ok(Vec::new()),
            [name] => {
                let (key, ttl) = (self.key(name), Some(expiration(ttl)));
                let client = self.bounded();
                let claim = client.set(key, value, ttl, Some(SetOptions::NX), true);
                observed("claim", claim).await.map(|before| vec![before])
            }
            names => {
                let arguments = vec![millis(ttl).to_string().into_bytes(), value.to_vec()];
                let claim = CLAIM_ALL.run(self, self.keys(names), arguments);
                observed("claim", claim).await
            }
        }
    }

    /// Sets each of these keys to its value, to expire after `ttl`. One command
    /// for all of them.
    ///
    /// # Errors
    /// When the server is away or too slow. Some may have been set all the same.
    pub async fn set_all(
        &self,
        values: Vec<(String, Vec<u8>)>,
        ttl: Duration,
    ) -> Result<(), Error> {
        if let [(name, value)] = values.as_slice() {
            return self.set(name, value, Some(ttl)).await;
        }
        if values.is_empty() {
            return Ok(());
        }
        let mut keys = Vec::with_capacity(values.len());
        let mut arguments = Vec::with_capacity(values.len() + 1);
        arguments.push(millis(ttl).to_string().into_bytes());
        for (name, value) in values {
            keys.push(self.key(&name));
            arguments.push(value);
        }
        let set = SET_ALL.run::<Value>(self, keys, arguments);
        observed("set_all", set).await.map(drop)
    }

    /// Removes keys; says how many there were.
    ///
    /// # Errors
    /// When the server is away or too slow.
    pub async fn delete(&self, names: &[String]) -> Result<u64, Error> {
        if names.is_empty() {
            return Ok(0);
        }
        let keys = self.keys(names);
        observed("del", self.bounded().unlink(keys)).await
    }

    /// The members of a sorted set with the highest scores, lowest of them first.
    ///
    /// # Errors
    /// When the server is away or too slow, or the key holds another type.
    pub async fn sorted_last(&self, name: &str, count: usize) -> Result<Vec<Vec<u8>>, Error> {
        let Some(last) = i64::try_from(count).ok().filter(|count| *count > 0) else {
            return Ok(Vec::new());
        };
        let client = self.bounded();
        let range = client.zrange(self.key(name), -last, -1, None, false, None, false);
        observed("zrange", range).await
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
            let client = self.bounded();
            let page = client.scan_page(cursor, pattern.clone(), Some(SCAN_STEP), None);
            let (next, keys): (String, Vec<String>) = observed("scan", page).await?;
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
        let in_time = async {
            tokio::time::timeout(DEADLINE, batch.run(self))
                .await
                .unwrap_or_else(|_| Err(fred::error::Error::new(ErrorKind::Timeout, "no answer")))
        };
        observed("exec", in_time).await
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
        let keys = self.keys(names);
        observed("eval", script.run(self, keys, arguments)).await
    }
}

pub(crate) fn expiration(ttl: Duration) -> Expiration {
    Expiration::PX(millis(ttl))
}

/// As the server takes it: nothing lives for no time at all.
fn millis(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX).max(1)
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

/// Counts it when the server does not do as it was told. What the driver makes of
/// a command is of some 7 kB, which the future of every caller would hold.
fn observed<T, E: Into<Error>>(
    command: &'static str,
    answering: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, Error>> {
    let answering = Box::pin(answering);
    async move {
        answering.await.map_err(|error| {
            counter!("agentmesh_redis_errors_total", "command" => command).increment(1);
            error.into()
        })
    }
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
        let claimed = redis.claim_all(&names, b"x", DEADLINE).await;
        let set = names.clone().map(|name| (name, b"x".to_vec()));
        let set = redis.set_all(set.to_vec(), DEADLINE).await;
        for error in [evaluated.map(drop), claimed.map(drop), set] {
            let error = error.expect_err("nobody there");
            assert!(error.is_transient(), "{error:?}");
        }
        assert!(begun.elapsed() < DEADLINE * 4);
    }
}
