//! What a decider gives up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain_kernel::{Recorded, Timestamp};
use platform_log::{DecodeError, Decoder, Encoder, Error, Outgoing, Record};
use platform_projector::{Failure, Process, request_metadata, run_process};

use crate::common::counter::{Command, Count, Counter, TooMany};
use crate::common::wire::{Asked, Asks, Counted, Counts, Pressed, Presses};
use crate::common::{Running, bed, pressed};
use crate::{hand_back, letters, number_is};

struct Counting {
    presses: Decoder<Presses>,
    counts: Decoder<Counts>,
    encoder: Encoder,
    broken: Arc<AtomicBool>,
}

impl Process for Counting {
    type Decider = Counter;
    type Input = Pressed;
    type Route = u64;
    const NAME: &'static str = "test-letters-counting";

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

    async fn route(
        &self,
        _: i32,
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
        _: &Count,
        _: Timestamp,
    ) -> Result<Option<Command>, Failure> {
        Ok(Some(Command::Press {
            stream: input.event.stream.clone(),
            press: input.meta.id.to_string(),
            number,
        }))
    }

    fn rejected(
        &self,
        _: &Recorded<Pressed>,
        _: &str,
        _: &TooMany,
    ) -> platform_projector::Rejected {
        platform_projector::Rejected::Ignore
    }

    fn encode_event(&self, recorded: &Recorded<Counted>) -> Result<Outgoing, Error> {
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
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_decider_gave_up_is_decided_once_when_it_comes_back() {
    let bed = bed("letters decider").await;
    let broken = Arc::new(AtomicBool::new(true));
    let counting = Counting {
        presses: bed.decoder(),
        counts: bed.decoder(),
        encoder: bed.encoder.clone(),
        broken: Arc::clone(&broken),
    };
    let running = Running::start(|stop| run_process(counting, bed.deps(), stop));
    bed.press_on(0, &pressed("a", 1)).await;
    bed.press_on(0, &pressed("a", 50)).await;
    bed.press_on(0, &pressed("a", 2)).await;
    let given_up = letters(&bed, 1).await;
    assert_eq!(given_up[0].consumer, "test-letters-counting");
    assert_eq!(given_up[0].attempts, 3);
    let total = "SELECT (state->>'total')::bigint FROM test_letters_counting.mesh_state";
    number_is(&bed, total, 3).await;

    broken.store(false, Ordering::SeqCst);
    // Twice, as two operators would.
    hand_back(&bed, &given_up[0]).await;
    hand_back(&bed, &given_up[0]).await;
    number_is(&bed, total, 53).await;
    bed.press_on(0, &pressed("a", 3)).await;
    number_is(&bed, total, 56).await;
    running.stop().await;
    assert_eq!(bed.decode_all::<Counts>().await.len(), 4);
    assert_eq!(letters(&bed, 1).await.len(), 1);
}
