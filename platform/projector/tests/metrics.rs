//! What a runner tells those who watch it, in a process of its own: the
//! recorder of metrics is one for all.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::wire::{Pressed, Presses};
use common::{PATIENCE, Running, bed, pressed};
use domain_kernel::Recorded;
use platform_log::{DecodeError, Decoder, Position, Record};
use platform_postgres::tokio_postgres::{Error, Transaction};
use platform_postgres::{Checkpoints, Migration};
use platform_projector::{PgProjection, run_projection};
use platform_telemetry::render_prometheus;
use platform_testkit::eventually;

struct Measured {
    decoder: Decoder<Presses>,
}

impl PgProjection for Measured {
    const NAME: &'static str = "test-measured";
    type Event = Pressed;
    type Change = i64;

    fn topics(&self) -> Vec<&'static str> {
        vec!["mesh.presses"]
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<Pressed>>, DecodeError> {
        Ok(vec![self.decoder.decode(record).await?])
    }

    fn project(&self, recorded: &Recorded<Pressed>, _: &Position) -> Vec<i64> {
        assert_ne!(recorded.event.text, "panic", "told to");
        vec![recorded.event.number as i64]
    }

    async fn apply(&self, tx: &Transaction<'_>, changes: Vec<i64>) -> Result<(), Error> {
        for number in changes {
            tx.execute("INSERT INTO seen (number) VALUES ($1)", &[&number])
                .await?;
        }
        Ok(())
    }

    fn migrations(&self) -> Vec<Migration> {
        vec![Migration {
            version: 1,
            name: "seen",
            sql: "CREATE TABLE seen (number bigint NOT NULL)",
        }]
    }

    fn digest_query(&self) -> &'static str {
        "SELECT number::text FROM seen"
    }
}

/// The value of the one series of `metric` that has all these labels.
fn value(metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let text = render_prometheus();
    let mut found = text.lines().filter(|line| {
        let labelled = line
            .strip_prefix(metric)
            .is_some_and(|rest| rest.starts_with('{'));
        labelled
            && labels
                .iter()
                .all(|(name, value)| line.contains(&format!("{name}=\"{value}\"")))
    });
    let line = found.next()?;
    assert_eq!(found.next(), None, "one series of {metric} with {labels:?}");
    line.rsplit(' ').next()?.parse().ok()
}

/// The value for this runner.
fn of_runner(metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let labels = [&[("runner", Measured::NAME)], labels].concat();
    value(metric, &labels)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_tells_how_it_does() {
    render_prometheus();
    let bed = bed("measured").await;
    let group = [("group", "agentmesh.test-measured")];
    let projection = || Measured {
        decoder: bed.decoder(),
    };
    bed.press("a", 0..20).await;
    let mut poison = pressed("a", 20);
    poison.event.text = "panic".to_owned();
    bed.press_on(0, &poison).await;
    let running = Running::start(|stop| run_projection(projection(), bed.deps(), stop));

    // Every ten seconds it looks how far the topics go.
    let lag = |partition: &str| {
        let labels = [("topic", "mesh.presses"), ("partition", partition)];
        of_runner("agentmesh_runner_lag_records", &labels)
    };
    eventually(PATIENCE, || async {
        let all: Vec<_> = ["0", "1", "2"].map(lag).to_vec();
        (all == [Some(0.0); 3]).then_some(()).ok_or(all)
    })
    .await
    .unwrap();
    assert_eq!(of_runner("agentmesh_runner_ready", &group), Some(1.0));
    let partitions = f64::from(bed.settings.kafka.partitions);
    let owned = of_runner("agentmesh_runner_owned_partitions", &group);
    assert_eq!(owned, Some(partitions));
    assert_eq!(
        of_runner("agentmesh_runner_claims_total", &[]),
        Some(partitions)
    );
    let handled = of_runner("agentmesh_runner_batch_records_sum", &[]).unwrap();
    // All of them; the dead letter itself it reads as well.
    assert!(handled >= 21.0, "{handled}");
    let commits = of_runner("agentmesh_runner_commit_seconds_count", &[]).unwrap();
    assert!(commits >= 1.0, "{commits}");
    let letters = of_runner(
        "agentmesh_runner_dead_letters_total",
        &[("topic", "mesh.presses")],
    );
    assert_eq!(letters, Some(1.0));
    let place = [("topic", "mesh.presses"), ("partition", "1")];
    let generation = of_runner("agentmesh_runner_generation", &place);
    assert_eq!(generation, Some(1.0));

    // Another owner claims: an idle runner notices, lets go and claims again.
    let other = Checkpoints::new("test_measured", "somebody else");
    other
        .claim(&bed.pool, &[("mesh.presses", 1)])
        .await
        .unwrap();
    eventually(PATIENCE, || async {
        let generation = of_runner("agentmesh_runner_generation", &place);
        (generation == Some(3.0)).then_some(()).ok_or(generation)
    })
    .await
    .unwrap();
    let halts = of_runner("agentmesh_runner_halts_total", &[("reason", "fenced")]);
    assert_eq!(halts, Some(1.0));
    assert_eq!(lag("0"), Some(0.0));
    running.stop().await;
}
