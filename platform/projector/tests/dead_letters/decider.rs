//! What a decider gives up.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use platform_projector::run_process;

use crate::common::counting::counting;
use crate::common::wire::Counts;
use crate::common::{Running, bed, pressed};
use crate::{hand_back, letters, number_is};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_decider_gave_up_is_decided_once_when_it_comes_back() {
    let bed = bed("letters decider").await;
    let counting = counting(&bed);
    let broken = Arc::clone(&counting.broken);
    broken.store(true, Ordering::SeqCst);
    let running = Running::start(|stop| run_process(counting, bed.deps(), stop));
    bed.press_on(0, &pressed("a", 1)).await;
    bed.press_on(0, &pressed("a", 50)).await;
    bed.press_on(0, &pressed("a", 2)).await;
    let given_up = letters(&bed, 1).await;
    assert_eq!(given_up[0].consumer, "test-counting");
    assert_eq!(given_up[0].attempts, 3);
    let total = "SELECT (state->>'total')::bigint FROM test_counting.mesh_state";
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
