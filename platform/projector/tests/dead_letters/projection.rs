//! What a projection gives up, while it runs and when it is rebuilt.

use std::sync::Arc;

use domain_kernel::Recorded;
use platform_log::{DecodeError, Outgoing, Position, Record, frame};
use platform_postgres::Migration;
use platform_postgres::tokio_postgres::{Error as PgError, Transaction};
use platform_projector::{PgProjection, RebuildOptions, rebuild_projection, run_projection};

use crate::common::applying::{Applied, Applying, applying};
use crate::common::wire::{Pressed, Presses};
use crate::common::{Bed, DEAD_LETTERS, Running, bed, pressed};
use crate::{hand_back, letters, number_is};

/// Refuses one number, for as long as the trigger is there.
fn refusing(bed: &Bed) -> Applying {
    let mut refusing = applying(bed);
    refusing.refuses = true;
    refusing
}

/// The same under another name, and without the trigger.
struct Other(Applying);

impl PgProjection for Other {
    const NAME: &'static str = "test-other";
    type Event = Pressed;
    type Change = Applied;

    fn topics(&self) -> Vec<&'static str> {
        self.0.topics()
    }

    async fn decode(&self, record: &Record) -> Result<Vec<Recorded<Pressed>>, DecodeError> {
        self.0.decode(record).await
    }

    fn project(&self, recorded: &Recorded<Pressed>, at: &Position) -> Vec<Applied> {
        self.0.project(recorded, at)
    }

    async fn apply(&self, tx: &Transaction<'_>, changes: Vec<Applied>) -> Result<(), PgError> {
        self.0.apply(tx, changes).await
    }

    fn migrations(&self) -> Vec<Migration> {
        self.0.migrations()
    }

    fn digest_query(&self) -> &'static str {
        self.0.digest_query()
    }
}

const ROWS: &str = "SELECT count(*) FROM test_presses.applied";
const REFUSED: &str = "SELECT times FROM test_presses.applied WHERE number = 50";
const OTHERS: &str = "SELECT sum(times)::bigint FROM test_other.applied";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_projection_gave_up_comes_back_to_it_alone() {
    let bed = bed("letters projection").await;
    let first = Running::start(|stop| run_projection(refusing(&bed), bed.deps(), stop));
    let other = Running::start(|stop| run_projection(Other(applying(&bed)), bed.deps(), stop));
    bed.press_on(0, &pressed("a", 49)).await;
    bed.press_on(0, &pressed("a", 50)).await;
    bed.press_on(0, &pressed("a", 51)).await;
    bed.press_on(1, &pressed("b", 1)).await;

    let given_up = letters(&bed, 1).await;
    number_is(&bed, ROWS, 3).await;
    number_is(&bed, OTHERS, 4).await;
    let letter = &given_up[0];
    assert_eq!(letter.consumer, "test-presses");
    assert_eq!(letter.attempts, 3);
    assert!(letter.causes.len() > 1, "{:?}", letter.causes);
    assert!(letter.reason.contains("not this one"), "{}", letter.reason);
    assert!(letter.at.is_some());
    assert_eq!(letter.original.position().to_string(), "mesh.presses/0@1");
    let on_log = bed.read_all("mesh.presses").await;
    let original = on_log
        .iter()
        .find(|record| record.position() == letter.original.position())
        .unwrap();
    assert_eq!(letter.original.key, original.key);
    assert_eq!(letter.original.headers, original.headers);
    assert_eq!(letter.original.value, original.value);

    // Handed back while it still fails, it is given up again, under the same id.
    hand_back(&bed, letter).await;
    let given_up = letters(&bed, 2).await;
    assert_eq!(given_up[1].id, letter.id);
    assert_eq!(given_up[1].original, letter.original);

    let client = bed.pool.get().await.unwrap();
    client
        .batch_execute("DROP TRIGGER refuse ON test_presses.applied")
        .await
        .unwrap();
    hand_back(&bed, letter).await;
    number_is(&bed, REFUSED, 1).await;
    // In order behind the redrive, for whoever would have acted on it by mistake.
    bed.press_on(0, &pressed("a", 52)).await;
    number_is(&bed, ROWS, 5).await;
    number_is(&bed, OTHERS, 5).await;
    other.stop().await;
    first.stop().await;
    assert_eq!(letters(&bed, 2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_partition_of_a_record_that_is_tried_again_waits() {
    let mut bed = bed("letters held").await;
    // For ever, as this test goes.
    bed.settings.dead_letters.attempts = 1_000_000;
    bed.settings.dead_letters.longest_pause_ms = 100;
    let running = Running::start(|stop| run_projection(refusing(&bed), bed.deps(), stop));
    bed.press_on(0, &pressed("a", 50)).await;
    bed.press_on(0, &pressed("a", 51)).await;
    for number in 0..20 {
        bed.press_on(1, &pressed("b", number)).await;
        number_is(&bed, ROWS, number as i64 + 1).await;
    }
    let generation = "SELECT max(generation) FROM test_presses.mesh_checkpoint";
    let before = bed.number(generation).await;
    let client = bed.pool.get().await.unwrap();
    client
        .batch_execute("DROP TRIGGER refuse ON test_presses.applied")
        .await
        .unwrap();
    // What passes after all is handled in its place, and nothing twice.
    number_is(&bed, ROWS, 22).await;
    number_is(&bed, "SELECT max(times) FROM test_presses.applied", 1).await;
    assert_eq!(
        bed.number(generation).await,
        before,
        "nothing was let go of"
    );
    running.stop().await;
    assert_eq!(bed.read_all(DEAD_LETTERS).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_schema_is_waited_for_and_then_given_up() {
    let bed = bed("letters schema").await;
    let good = bed.encoder.encode::<Presses>(&pressed("a", 1)).unwrap();
    let unknown = Record {
        topic: "mesh.presses".to_owned(),
        partition: 0,
        offset: 0,
        timestamp_ms: 0,
        key: Some("a".into()),
        headers: good.headers().iter().cloned().collect(),
        value: Some(frame(2_000_000_000, b"whatever")),
    };
    let outgoing = Outgoing::dead_letter("mesh.presses", &unknown, &[]);
    bed.producer.append(outgoing.to_partition(0)).await.unwrap();
    bed.press_on(0, &pressed("a", 2)).await;
    let begun = std::time::Instant::now();
    let running = Running::start(|stop| run_projection(refusing(&bed), bed.deps(), stop));
    let given_up = letters(&bed, 1).await;
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1));
    assert!(given_up[0].attempts >= 3, "{}", given_up[0].attempts);
    assert!(
        given_up[0]
            .causes
            .iter()
            .any(|cause| cause.contains("2000000000")),
        "{:?}",
        given_up[0].causes
    );
    number_is(&bed, ROWS, 1).await;
    running.stop().await;

    // A rebuild passes over what was given up, and over nothing else.
    let options = RebuildOptions::default();
    rebuild_projection(Arc::new(refusing(&bed)), &bed.deps(), &options)
        .await
        .unwrap();
    number_is(&bed, ROWS, 1).await;
    let again = Outgoing::dead_letter("mesh.presses", &unknown, &[]);
    bed.producer.append(again.to_partition(0)).await.unwrap();
    let stopped = rebuild_projection(Arc::new(refusing(&bed)), &bed.deps(), &options).await;
    assert!(stopped.is_err(), "a rebuild does not give up records");
}
