//! Spans on their way to a collector: a bounded queue and one thread.
//!
//! Whoever ends a span never waits. When the collector is slow or away, the
//! queue fills, further spans are dropped, and each one dropped is counted.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use metrics::counter;
use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};

use crate::{Error, names};

const QUEUE: usize = 4_096;
const BATCH: usize = 512;
const LINGER: Duration = Duration::from_secs(1);
const FLUSH: Duration = Duration::from_secs(5);

enum Message {
    Span(Box<SpanData>),
    /// Answer when all that came before has been tried.
    Flush(SyncSender<()>),
    Stop(SyncSender<()>),
}

/// Hands sampled spans to the export thread.
#[derive(Debug)]
pub(crate) struct BoundedProcessor {
    queue: SyncSender<Message>,
}

impl BoundedProcessor {
    /// Starts the export thread, with a runtime of its own: a busy or stopped
    /// main runtime holds nothing up, and neither does the exporter hold it up.
    pub(crate) fn start<E: SpanExporter + 'static>(
        mut exporter: E,
        resource: &Resource,
    ) -> Result<Self, Error> {
        exporter.set_resource(resource);
        let (queue, messages) = sync_channel(QUEUE);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Error::ExportThread { source })?;
        std::thread::Builder::new()
            .name("span-export".to_owned())
            .spawn(move || export(&runtime, &exporter, &messages))
            .map_err(|source| Error::ExportThread { source })?;
        Ok(Self { queue })
    }

    fn ask(
        &self,
        message: impl FnOnce(SyncSender<()>) -> Message,
        timeout: Duration,
    ) -> OTelSdkResult {
        let (answer, answered) = sync_channel(1);
        let deadline = Instant::now() + timeout;
        let mut message = message(answer);
        loop {
            match self.queue.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return Err(OTelSdkError::AlreadyShutdown),
                Err(TrySendError::Full(_)) if Instant::now() >= deadline => {
                    return Err(OTelSdkError::Timeout(timeout));
                }
                Err(TrySendError::Full(back)) => {
                    message = back;
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
        answered
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .map_err(|_| OTelSdkError::Timeout(timeout))
    }
}

impl SpanProcessor for BoundedProcessor {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.queue.try_send(Message::Span(Box::new(span))).is_err() {
            counter!(names::metric::SPANS_DROPPED, "reason" => "queue_full").increment(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.ask(Message::Flush, FLUSH)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.ask(Message::Stop, timeout)
    }
}

fn export<E: SpanExporter>(
    runtime: &tokio::runtime::Runtime,
    exporter: &E,
    messages: &Receiver<Message>,
) {
    let mut batch: Vec<SpanData> = Vec::new();
    let mut due = Instant::now() + LINGER;
    loop {
        let wait = due.saturating_duration_since(Instant::now());
        let asked = match messages.recv_timeout(wait) {
            Ok(Message::Span(span)) => {
                if batch.is_empty() {
                    due = Instant::now() + LINGER;
                }
                batch.push(*span);
                if batch.len() < BATCH {
                    continue;
                }
                None
            }
            Ok(Message::Flush(answer)) => Some((answer, false)),
            Ok(Message::Stop(answer)) => Some((answer, true)),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        send(runtime, exporter, std::mem::take(&mut batch));
        due = Instant::now() + LINGER;
        if let Some((answer, stop)) = asked {
            // Whoever asked may have given up waiting.
            let _ = answer.send(());
            if stop {
                return;
            }
        }
    }
}

fn send<E: SpanExporter>(runtime: &tokio::runtime::Runtime, exporter: &E, batch: Vec<SpanData>) {
    if batch.is_empty() {
        return;
    }
    let spans = batch.len() as u64;
    match runtime.block_on(exporter.export(batch)) {
        Ok(()) => counter!(names::metric::SPANS_EXPORTED).increment(spans),
        Err(error) => {
            counter!(names::metric::SPANS_DROPPED, "reason" => "export_failed").increment(spans);
            tracing::debug!(%error, spans, "spans not exported");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Condvar, Mutex};

    use opentelemetry::trace::{Tracer, TracerProvider};
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A collector that takes nothing until it is opened.
    #[derive(Debug, Clone, Default)]
    struct Gate {
        open: Arc<(Mutex<bool>, Condvar)>,
        taken: Arc<Mutex<Vec<String>>>,
    }

    impl Gate {
        fn open(&self) {
            *self.open.0.lock().unwrap() = true;
            self.open.1.notify_all();
        }
    }

    impl SpanExporter for Gate {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            let mut open = self.open.0.lock().unwrap();
            while !*open {
                open = self.open.1.wait(open).unwrap();
            }
            let names = batch.into_iter().map(|span| span.name.into_owned());
            self.taken.lock().unwrap().extend(names);
            Ok(())
        }
    }

    fn provider(gate: &Gate, sampler: Sampler) -> SdkTracerProvider {
        let resource = Resource::builder_empty().build();
        let processor = BoundedProcessor::start(gate.clone(), &resource).unwrap();
        SdkTracerProvider::builder()
            .with_sampler(sampler)
            .with_span_processor(processor)
            .build()
    }

    #[test]
    fn a_stuck_collector_holds_nobody_up() {
        let gate = Gate::default();
        let provider = provider(&gate, Sampler::AlwaysOn);
        let tracer = provider.tracer("test");
        let spans = QUEUE + 2 * BATCH + 100;
        for _ in 0..spans {
            drop(tracer.start("span"));
        }
        gate.open();
        provider.shutdown_with_timeout(PATIENCE).unwrap();
        let taken = gate.taken.lock().unwrap().len();
        assert!(taken >= QUEUE, "what fitted is sent: {taken}");
        assert!(taken < spans, "what did not fit is dropped");
    }

    #[test]
    fn the_last_spans_are_sent_at_the_end() {
        let gate = Gate::default();
        gate.open();
        let provider = provider(&gate, Sampler::AlwaysOn);
        drop(provider.tracer("test").start("last"));
        provider.force_flush().unwrap();
        assert_eq!(*gate.taken.lock().unwrap(), ["last"]);
        drop(provider.tracer("test").start("very last"));
        provider.shutdown_with_timeout(PATIENCE).unwrap();
        assert_eq!(*gate.taken.lock().unwrap(), ["last", "very last"]);
    }

    #[test]
    fn what_is_not_sampled_is_not_sent() {
        let gate = Gate::default();
        gate.open();
        let provider = provider(&gate, Sampler::AlwaysOff);
        drop(provider.tracer("test").start("none"));
        provider.shutdown_with_timeout(PATIENCE).unwrap();
        assert!(gate.taken.lock().unwrap().is_empty());
    }
}
