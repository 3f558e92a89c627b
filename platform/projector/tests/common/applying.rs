//! A projection that shows what was applied twice, and what breaks in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain_kernel::Recorded;
use platform_log::{DecodeError, Decoder, Position, Record, SchemaRegistry};
use platform_postgres::Migration;
use platform_postgres::tokio_postgres::{Error, Transaction};
use platform_projector::PgProjection;
use tokio::sync::watch;

use super::Bed;
use super::wire::{Pressed, Presses};

/// Counts how often each press was applied. Deliberately without a guard, so
/// that a row applied twice shows.
pub struct Applying {
    decoder: Decoder<Presses>,
    pub gate: Arc<watch::Sender<bool>>,
    /// Takes its time, after the rows were written.
    pub slow: bool,
    /// How many presses were taken in hand.
    pub taken: Arc<AtomicUsize>,
    /// Number 50 is refused by a trigger, for as long as the trigger is there.
    pub refuses: bool,
}

pub struct Applied {
    stream: String,
    number: i64,
}

impl PgProjection for Applying {
    const NAME: &'static str = "test-presses";
    type Event = Pressed;
    type Change = Applied;

    fn topics(&self) -> Vec<&'static str> {
        vec!["mesh.presses"]
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<Pressed>>, DecodeError> {
        let _ = self.gate.subscribe().wait_for(|open| *open).await;
        self.taken.fetch_add(1, Ordering::SeqCst);
        Ok(vec![self.decoder.decode(record).await?])
    }

    fn project(&self, recorded: &Recorded<Pressed>, _position: &Position) -> Vec<Applied> {
        assert_ne!(recorded.event.text, "panic", "told to");
        vec![Applied {
            stream: recorded.event.stream.clone(),
            number: recorded.event.number as i64,
        }]
    }

    async fn apply(&self, tx: &Transaction<'_>, changes: Vec<Applied>) -> Result<(), Error> {
        for change in changes {
            tx.execute(
                "INSERT INTO applied AS a (stream, number, times) VALUES ($1, $2, 1)
                 ON CONFLICT (stream, number) DO UPDATE SET times = a.times + 1",
                &[&change.stream, &change.number],
            )
            .await?;
        }
        if self.slow {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Ok(())
    }

    fn migrations(&self) -> Vec<Migration> {
        let mut migrations = vec![Migration {
            version: 1,
            name: "applied",
            sql: "CREATE TABLE applied (
                      stream text NOT NULL,
                      number bigint NOT NULL CHECK (number < 666),
                      times bigint NOT NULL,
                      PRIMARY KEY (stream, number)
                  )",
        }];
        if self.refuses {
            migrations.push(Migration {
                version: 2,
                name: "refuse",
                sql: "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                          $$BEGIN RAISE EXCEPTION 'not this one'; END$$;
                      CREATE TRIGGER refuse BEFORE INSERT ON applied
                          FOR EACH ROW WHEN (NEW.number = 50) EXECUTE FUNCTION refuse();",
            });
        }
        migrations
    }

    fn digest_query(&self) -> &'static str {
        "SELECT stream || '/' || number || '/' || times FROM applied"
    }
}

pub fn applying(bed: &Bed) -> Applying {
    with_registry(bed.registry.clone())
}

pub fn with_registry(registry: SchemaRegistry) -> Applying {
    Applying {
        decoder: Decoder::new(registry),
        gate: Arc::new(watch::Sender::new(true)),
        slow: false,
        taken: Arc::default(),
        refuses: false,
    }
}
