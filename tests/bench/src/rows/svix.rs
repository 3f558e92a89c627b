//! svix-server, another webhook gateway: its API over the Postgres and the Redis
//! that ours has, with one application and one endpoint, without which it queues
//! nothing.
//!
//! Its worker does not run, as our workflows do not: what it answered stays in its
//! tables and in its queue, where it is counted.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use platform_localstack::free_port;
use platform_postgres::Pool;
use platform_redis::{Redis, Script};
use serde_json::json;
use tokio::process::Child;

use super::ground::Ground;
use super::peer::{self, Peer, call, text};
use crate::Bench;
use crate::bed::Bed;
use crate::fixtures;
use crate::harness::Row;

const SECRET: &str = "bench-secret-0123456789abcdef";
const TYPE: &str = "support.ticket.created";
const QUEUE: &str = "{queue}_svix_v3_main";
/// How many tasks with a message wait in the queue, and how many different messages.
const TASKS: Script = Script::new(
    r"
local tasks, different, seen = 0, 0, {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  local message = cjson.decode(entry[2][2]).msgId
  if message then
    tasks = tasks + 1
    if not seen[message] then
      seen[message] = true
      different = different + 1
    end
  end
end
return {tasks, different}
",
);

/// G1-svix, where svix-server was built.
pub(crate) async fn svix(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let Some(binary) = peer::built("G1-svix", "svix", "svix-server-v1.100.0") else {
        return Ok(Vec::new());
    };
    let ground = Ground::new(bench, "svix").await?;
    let svix = Svix::start(&ground.bed, &binary).await?;
    let row = (
        "G1-svix",
        "svix-server 1.100.0 (two rows committed, a task in Redis)",
    );
    let turns = (bench.size.pick(300, 3_000, 12_000), bench.rounds);
    peer::compare(&ground, &svix, row, turns).await
}

struct Svix {
    address: SocketAddr,
    path: String,
    token: String,
    pool: Pool,
    redis: Redis,
    _api: Child,
}

impl Svix {
    async fn start(bed: &Bed, binary: &Path) -> anyhow::Result<Self> {
        let postgres = peer::database(bed, "bench_svix_peer").await?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let environment = [
            ("SVIX_LISTEN_ADDRESS", address.to_string()),
            ("SVIX_JWT_SECRET", SECRET.to_owned()),
            ("SVIX_DB_DSN", postgres.url.clone()),
            ("SVIX_REDIS_DSN", bed.settings.redis.url.clone()),
            ("SVIX_WORKER_ENABLED", "false".to_owned()),
            ("RUST_LOG", "error".to_owned()),
        ];
        let command = |arguments: &[&str]| peer::command(bed, binary, arguments, &environment);
        peer::run(command(&["migrate"])).await?;
        let mut generate = command(&["jwt", "generate"])?;
        let said = generate.stdout(Stdio::piped()).output().await?.stdout;
        let said = String::from_utf8(said)?;
        let (_, token) = said.trim().split_once(": ").context("no token")?;
        let api = command(&[])?.spawn()?;
        let base = format!("http://{address}/api/v1");
        peer::ready(&format!("{base}/health")).await?;
        let mut redis = bed.settings.redis.clone();
        redis.key_prefix = String::new();
        Ok(Self {
            address,
            path: register(&base, token).await?,
            token: token.to_owned(),
            pool: Pool::connect(&postgres)?,
            redis: Redis::connect(&redis).await?,
            _api: api,
        })
    }
}

impl Peer for Svix {
    const NAME: &'static str = "svix-server";

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn request(&self, number: usize) -> anyhow::Result<Bytes> {
        let body = format!(
            // Ids that begin as its own do, with `msg_`, it does not take.
            r#"{{"eventType":"{TYPE}","eventId":"delivery-{number}","payload":{}}}"#,
            fixtures::ticket(number)
        );
        Ok(peer::bearing(&self.path, &self.token, &body))
    }

    async fn twin(&self, sent: usize, _stored: f64) -> anyhow::Result<String> {
        let client = self.pool.get().await?;
        let query = "SELECT count(*), count(DISTINCT uid),
                count(DISTINCT messagecontent.payload)
            FROM message JOIN messagecontent USING (id)";
        let row = client.query_one(query, &[]).await?;
        let mut there: Vec<i64> = (0..3).map(|at| row.try_get(at)).collect::<Result<_, _>>()?;
        let queue = [QUEUE.to_owned()];
        there.extend(
            self.redis
                .eval::<Vec<i64>>(&TASKS, &queue, Vec::new())
                .await?,
        );
        let expected = i64::try_from(sent)?;
        ensure!(
            there.iter().all(|count| *count == expected),
            "svix-server accepted {expected}; rows, ids, bodies, tasks, their messages: {there:?}"
        );
        Ok(format!(
            "{sent} answered with 202 by svix-server, each of them once in its tables and once in its queue, nothing else there"
        ))
    }
}

/// An application with an endpoint, of which nothing is ever asked; answers where
/// it takes messages, and that they need not come back with the answer.
async fn register(base: &str, token: &str) -> anyhow::Result<String> {
    let http = peer::http()?;
    let applications = http.post(format!("{base}/app")).bearer_auth(token);
    let application = call(applications.json(&json!({"name": "bench"}))).await?;
    let application = text(&application, "/id")?;
    let endpoints = http.post(format!("{base}/app/{application}/endpoint"));
    let endpoint = json!({"url": "https://nowhere.invalid/"});
    call(endpoints.bearer_auth(token).json(&endpoint)).await?;
    Ok(format!("/api/v1/app/{application}/msg?with_content=false"))
}
