//! A process around the counter, and what breaks in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain_kernel::{Recorded, Timestamp};
use platform_log::{DecodeError, Decoder, Encoder, Error, Outgoing, Record};
use platform_projector::{Failure, Process, Rejected, request_metadata};
use tokio::sync::watch;

use super::Bed;
use super::counter::{Command, Count, Counter, TooMany};
use super::wire::{Asked, Asks, Counted, Counts, Pressed, Presses};

pub struct Counting {
    presses: Decoder<Presses>,
    counts: Decoder<Counts>,
    encoder: Encoder,
    /// Cut when the first event is encoded: appended, but never committed.
    pub cut: Option<Arc<watch::Sender<bool>>>,
    /// As long as it holds, number 50 fails by itself.
    pub broken: Arc<AtomicBool>,
}

pub fn counting(bed: &Bed) -> Counting {
    Counting {
        presses: bed.decoder(),
        counts: bed.decoder(),
        encoder: bed.encoder.clone(),
        cut: None,
        broken: Arc::default(),
    }
}

impl Process for Counting {
    type Decider = Counter;
    type Input = Pressed;
    type Route = u64;
    const NAME: &'static str = "test-counting";

    fn inputs(&self) -> Vec<&'static str> {
        vec!["mesh.presses"]
    }

    fn state_topic(&self) -> &'static str {
        "mesh.counts"
    }

    fn source(&self) -> &'static str {
        "/agentmesh/test"
    }

    async fn decode(&self, record: &Record) -> Result<Option<Recorded<Pressed>>, DecodeError> {
        Ok(Some(self.presses.decode(record).await?))
    }

    async fn decode_own(&self, record: &Record) -> Result<Recorded<Counted>, DecodeError> {
        self.counts.decode(record).await
    }

    fn streams(&self, input: &Recorded<Pressed>) -> Vec<String> {
        vec![input.event.stream.clone()]
    }

    async fn route(
        &self,
        _partition: i32,
        input: &Recorded<Pressed>,
    ) -> Result<Vec<(String, u64)>, Failure> {
        if input.event.number == 50 && self.broken.load(Ordering::SeqCst) {
            return Err(Failure::suspect("nobody knows where to"));
        }
        Ok(vec![(input.event.stream.clone(), input.event.number)])
    }

    fn command(
        &self,
        input: &Recorded<Pressed>,
        number: u64,
        _state: &Count,
        _now: Timestamp,
    ) -> Result<Option<Command>, Failure> {
        if input.event.text == "poison" {
            return Err(Failure::poison("told to"));
        }
        Ok(Some(Command::Press {
            stream: input.event.stream.clone(),
            press: input.meta.id.to_string(),
            number,
        }))
    }

    fn rejected(&self, _input: &Recorded<Pressed>, _stream: &str, _why: &TooMany) -> Rejected {
        Rejected::DeadLetter("too many".to_owned())
    }

    fn encode_event(&self, recorded: &Recorded<Counted>) -> Result<Outgoing, Error> {
        if let Some(cut) = &self.cut {
            cut.send_replace(false);
        }
        self.encoder.encode::<Counts>(recorded)
    }

    fn encode_request(
        &self,
        cause: &Recorded<Counted>,
        ordinal: usize,
        request: Asked,
    ) -> Result<Outgoing, Error> {
        let stream = request.stream.clone();
        self.encoder.encode::<Asks>(&Recorded {
            meta: request_metadata(&cause.meta, ordinal, stream, 1, self.source()),
            event: request,
        })
    }

    fn wake_at(&self, state: &Count) -> Option<Timestamp> {
        state.alarm_at.map(Timestamp::from_micros)
    }

    fn timer_command(&self, stream: &str, _state: &Count, _now: Timestamp) -> Option<Command> {
        Some(Command::Alarm {
            stream: stream.to_owned(),
        })
    }
}
