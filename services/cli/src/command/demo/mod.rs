//! `agentmesh demo`: one signed support ticket through the whole mesh.

mod sample;
mod show;
mod steps;
mod ticket;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use domain_kernel::CorrelationId;
use platform_config::Settings;
use platform_http::reqwest::{Client, StatusCode};
use platform_http::{ClientOptions, client, peer_client};
use platform_postgres::Pool;
use platform_redis::Redis;
use projections_context_cache::ContextCache;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::certificates::origin;
use crate::settings;
use show::Show;
use steps::{Facts, Steps, WayOut};

/// Registers the sample source, policy, agents, workflow and connector, sends a
/// support ticket as Zapier would, and shows the fourteen steps as they happen.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long to wait for the customer record, in seconds.
    #[arg(long, default_value_t = 60)]
    wait: u64,
}

/// How often the audit trail is looked at while waiting.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) async fn run(config: Option<&Path>, args: Args) -> anyhow::Result<()> {
    let settings = settings::load_as_running(config).await?;
    let _telemetry = settings::quiet_telemetry(&settings)?;
    let http = client(ClientOptions::default())?;
    let registry = peer_client(ClientOptions::default(), &settings.tls, "registry")?;
    let gateway = peer_client(ClientOptions::default(), &settings.tls, "gateway")?;
    let mut show = Show::start();

    show.working("registering the sample source, policy, agents, workflow and connector");
    let secret = sample::signing_secret(&settings)?;
    let registered = sample::register(&registry, &settings, &secret).await?;
    sample::prepare_crm(&http, &settings).await?;
    show.note(&format!(
        "{registered} resources of tenant {} are registered at {}",
        sample::TENANT,
        origin(settings.registry.listen, &settings.registry.tls)
    ))?;
    // The gateway follows the registry: it answers 401 until it has seen the source.
    let ticket = ticket::Ticket::new(platform_telemetry::now());
    let sent = send(&gateway, &settings, &ticket, &secret, &mut show).await?;

    let pool = Pool::connect(&settings.postgres)?;
    let correlation: CorrelationId = sent["correlation_id"]
        .as_str()
        .context("the gateway's answer has no correlation_id")?
        .parse()?;
    let link = key_of_link(&settings, correlation).await;
    let facts = Facts {
        ticket: ticket.id().to_owned(),
        key_prefix: settings.redis.key_prefix.clone(),
        link: link.clone(),
    };
    let steps = follow(&pool, &mut show, facts, correlation, args.wait).await?;
    finish(&http, &settings, &mut show, &steps, correlation, &link).await
}

/// Where Redis says which context the delivery went into; where it does before the
/// first rebuild, if it cannot be asked.
async fn key_of_link(settings: &Settings, correlation: CorrelationId) -> String {
    let asked = async {
        let redis = Redis::connect(&settings.redis).await?;
        anyhow::Ok(ContextCache::new(redis).key_of_link(correlation).await?)
    };
    let first = || format!("{}correlation:{correlation}", settings.redis.key_prefix);
    asked.await.unwrap_or_else(|_| first())
}

/// What tells curl whom to believe, where that is not the operating system's to say.
fn trusting(settings: &Settings) -> String {
    match &settings.tls.peer_authorities {
        Some(path) if settings.gateway.tls.is_on() => format!("--cacert {} ", path.display()),
        _ => String::new(),
    }
}

async fn send(
    http: &Client,
    settings: &Settings,
    ticket: &ticket::Ticket,
    secret: &str,
    show: &mut Show,
) -> anyhow::Result<Value> {
    let url = format!(
        "{}/hooks/{}",
        origin(settings.gateway.listen, &settings.gateway.tls),
        sample::SOURCE
    );
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        show.working(&format!("posting the ticket to {url}"));
        let request = ticket.signed(http.post(&url), secret, platform_telemetry::now())?;
        let response = request.send().await.with_context(|| {
            format!("the gateway at {url} cannot be reached; is `agentmesh dev` running?")
        })?;
        let status = response.status();
        let body: Value = response.json().await.context("the gateway's answer")?;
        match status {
            StatusCode::ACCEPTED => return Ok(body),
            StatusCode::UNAUTHORIZED | StatusCode::SERVICE_UNAVAILABLE
                if Instant::now() < deadline =>
            {
                sleep(LOOK).await;
            }
            _ => bail!("the gateway answered {status}: {body}"),
        }
    }
}

/// Shows each step when its event appears in the audit trail.
async fn follow(
    pool: &Pool,
    show: &mut Show,
    facts: Facts,
    correlation: CorrelationId,
    wait: u64,
) -> anyhow::Result<Steps> {
    let deadline = Instant::now() + Duration::from_secs(wait);
    let mut steps = Steps::new(facts);
    loop {
        let entries = projections_audit::by_correlation(pool, correlation).await?;
        for step in steps.take_in(&entries) {
            show.step(&step)?;
        }
        match steps.way_out() {
            WayOut::Open if Instant::now() < deadline => {
                show.working(&format!("waiting for step {}", steps.next_number()));
                sleep(LOOK).await;
            }
            WayOut::Open => bail!(
                "step {} did not happen within {wait} s; `agentmesh trace {correlation}` shows what did",
                steps.next_number()
            ),
            WayOut::Succeeded => return Ok(steps),
            WayOut::Ended(how) => bail!(
                "the workflow ended otherwise: {how}; `agentmesh trace {correlation}` shows why"
            ),
        }
    }
}

async fn finish(
    http: &Client,
    settings: &Settings,
    show: &mut Show,
    steps: &Steps,
    correlation: CorrelationId,
    link: &str,
) -> anyhow::Result<()> {
    let remote_id = steps.remote_id().context("no record was confirmed")?;
    let url = format!(
        "http://{}/crm/v3/objects/tickets/{remote_id}",
        settings.crm_sandbox.listen
    );
    let record: Value = http
        .get(&url)
        .bearer_auth(settings.crm_sandbox.access_token.expose())
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    show.record(&url, &record)?;
    show.next(&[
        ("the causal tree", format!("agentmesh trace {correlation}")),
        (
            "how far it has come",
            format!(
                "curl {}{}/v1/deliveries/{correlation}",
                trusting(settings),
                origin(settings.gateway.listen, &settings.gateway.tls)
            ),
        ),
        (
            "the log",
            format!(
                "kcat -b {} -t {}mesh.workflows -C -e -f '%h\\n'",
                settings.kafka.brokers, settings.kafka.topic_prefix
            ),
        ),
        (
            "the agent execution log",
            format!(
                "psql {} -c 'select * from executions.execution'",
                settings.postgres.url
            ),
        ),
        (
            "the cached context",
            format!("redis-cli -u {} get {link}", settings.redis.url),
        ),
        (
            "rebuild every read model from the log",
            "agentmesh replay rebuild --all".to_owned(),
        ),
    ])
}
