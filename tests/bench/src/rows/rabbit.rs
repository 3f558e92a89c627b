//! RabbitMQ, in which a peer keeps its queue: one node on free ports, with a
//! directory and a port mapper of its own, both of which end when it is dropped.

use std::path::Path;

use anyhow::Context as _;
use platform_localstack::free_port;
use serde_json::{Value, json};
use tokio::process::Child;

use super::peer::{self, call};
use crate::bed::Bed;

/// The user that a new node has. It is let in from this machine only.
const USER: &str = "guest";
/// How many messages are taken with one question.
const AT_ONCE: usize = 5_000;

pub(super) struct Rabbit {
    /// Where clients of the queue connect to.
    pub(super) url: String,
    management: String,
    _mapper: Child,
    _node: Child,
}

impl Rabbit {
    /// Starts what stands under `home`, as a new node is but for ports, paths, and the
    /// management plugin, without its metrics, which would cost.
    pub(super) async fn start(bed: &Bed, home: &Path) -> anyhow::Result<Self> {
        let data = bed.settings.data_dir.join("rabbitmq");
        std::fs::create_dir_all(&data)?;
        let (port, management, between, mapper) =
            (free_port()?, free_port()?, free_port()?, free_port()?);
        let config = format!(
            "management_agent.disable_metrics_collector = true\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management}\n"
        );
        std::fs::write(data.join("rabbitmq.conf"), config)?;
        std::fs::write(data.join("plugins"), "[rabbitmq_management].\n")?;
        let at = |name: &str| data.join(name).to_string_lossy().into_owned();

        let erlang = home.join("erlang/bin");
        let mapper_port = mapper.to_string();
        let arguments = ["-port", &mapper_port, "-address", "127.0.0.1"];
        let mapper = peer::command(bed, &erlang.join("epmd"), &arguments, &[])?.spawn()?;
        let system = std::env::var("PATH").context("no PATH")?;
        let environment = [
            ("PATH", format!("{}:{system}", erlang.display())),
            // So the shell that starts it becomes it, and what ends one ends both.
            ("RABBITMQ_ALLOW_INPUT", "1".to_owned()),
            ("RABBITMQ_SERVER_START_ARGS", "-noshell -noinput".to_owned()),
            ("RABBITMQ_NODENAME", "bench@localhost".to_owned()),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODE_PORT", port.to_string()),
            ("RABBITMQ_DIST_PORT", between.to_string()),
            ("ERL_EPMD_PORT", mapper_port.clone()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_MNESIA_BASE", at("data")),
            ("RABBITMQ_LOG_BASE", at("logs")),
            ("RABBITMQ_LOGS", "-".to_owned()),
            ("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins")),
            ("RABBITMQ_CONF_ENV_FILE", at("none")),
        ];
        let server = home.join("server/sbin/rabbitmq-server");
        let node = peer::command(bed, &server, &[], &environment)?.spawn()?;
        let management = format!("http://{USER}:{USER}@127.0.0.1:{management}/api");
        peer::ready(&format!("{management}/overview")).await?;
        Ok(Self {
            url: format!("amqp://{USER}:{USER}@127.0.0.1:{port}"),
            management,
            _mapper: mapper,
            _node: node,
        })
    }

    /// Takes all messages out of a queue.
    pub(super) async fn take(&self, queue: &str) -> anyhow::Result<Vec<Value>> {
        let http = peer::http()?;
        let url = format!("{}/queues/%2F/{queue}/get", self.management);
        let question = json!({
            "count": AT_ONCE, "ackmode": "ack_requeue_false", "encoding": "auto",
        });
        let mut taken = Vec::new();
        loop {
            let request = http.post(&url).json(&question);
            let answer = call(request).await?;
            let messages = answer.as_array().context("no list of messages")?;
            if messages.is_empty() {
                return Ok(taken);
            }
            for message in messages {
                taken.push(serde_json::from_str(peer::text(message, "/payload")?)?);
            }
        }
    }
}
