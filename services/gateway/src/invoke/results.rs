//! The tail of `mesh.results`, read once for the whole process. Requests that
//! wait for an answer are told of it here; what nobody waits for is passed over
//! undecoded. Every gateway reads all of it, so that whichever of them was asked
//! hears the answer.

use std::collections::HashMap;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain_execution::ExecutionEvent;
use domain_kernel::{Codec as _, ExecutionId};
use platform_config::Kafka;
use platform_http::Component;
use platform_log::{Admin, Decoder, PartitionReader, Record, SchemaRegistry};
use schemas::Results as Topic;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

const BATCH: usize = 1_000;
const POLL: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(500);

/// Who waits for what.
#[derive(Debug, Clone, Default)]
pub struct Results {
    waiting: Arc<Mutex<HashMap<ExecutionId, mpsc::UnboundedSender<ExecutionEvent>>>>,
}

/// One who waits. Dropped, nobody does.
#[derive(Debug)]
pub(crate) struct Awaited {
    id: ExecutionId,
    results: Results,
    receiver: mpsc::UnboundedReceiver<ExecutionEvent>,
}

impl Awaited {
    /// The next thing that became of the execution. A stream has few events, so
    /// that the queue needs no bound.
    pub(crate) async fn next(&mut self) -> Option<ExecutionEvent> {
        self.receiver.recv().await
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.results.waiting().remove(&self.id);
    }
}

impl Results {
    /// Waits for what becomes of `id`. To be called before it is asked for.
    pub(crate) fn of(&self, id: ExecutionId) -> Awaited {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.waiting().insert(id, sender);
        Awaited {
            id,
            results: self.clone(),
            receiver,
        }
    }

    fn waiting(
        &self,
    ) -> MutexGuard<'_, HashMap<ExecutionId, mpsc::UnboundedSender<ExecutionEvent>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the topic from where it ends now, until `shutdown`. Says on
    /// `component` when it does: no answer can be missed after that.
    pub async fn follow(
        self,
        kafka: Kafka,
        registry: SchemaRegistry,
        component: Component,
        shutdown: CancellationToken,
    ) {
        let decoder = Decoder::new(registry);
        let following = async {
            let mut from: Option<Vec<(i32, i64)>> = None;
            component.not_ready("looking where the results end");
            loop {
                let error = match self.read(&kafka, &decoder, &component, &mut from).await {
                    Ok(never) => match never {},
                    Err(error) => error,
                };
                warn!(error = %error, cause = ?error, "results cannot be read, trying again");
                component.not_ready("the results cannot be read");
                tokio::time::sleep(PAUSE).await;
            }
        };
        shutdown.run_until_cancelled(following).await;
        component.not_ready("stopped");
    }

    async fn read(
        &self,
        kafka: &Kafka,
        decoder: &Decoder<Topic>,
        component: &Component,
        from: &mut Option<Vec<(i32, i64)>>,
    ) -> Result<std::convert::Infallible, platform_log::Error> {
        let start = match from.take() {
            Some(start) => start,
            None => Admin::new(kafka)?.high_watermarks(Topic::TOPIC).await?,
        };
        let mut reader = PartitionReader::open(kafka, Topic::TOPIC, start)?;
        component.ready();
        loop {
            let records = match reader.next(BATCH, POLL).await {
                Ok(records) => records,
                Err(error) => {
                    *from = Some(reader.positions());
                    return Err(error);
                }
            };
            for record in &records {
                self.take_in(record, decoder).await;
            }
        }
    }

    async fn take_in(&self, record: &Record, decoder: &Decoder<Topic>) {
        let Some(id) = record
            .header("ce_subject")
            .and_then(|stream| ExecutionId::from_str(stream).ok())
        else {
            return;
        };
        let Some(waiting) = self.waiting().get(&id).cloned() else {
            return;
        };
        match decoder.decode(record).await {
            // Whoever waited may have gone in the meantime.
            Ok(recorded) => drop(waiting.send(recorded.event)),
            Err(error) => {
                warn!(error = %error, execution.id = %id, "an answer is not readable");
            }
        }
    }
}
