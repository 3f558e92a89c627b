//! What happens to tickets under way when processes die, and to read models
//! when they are lost. One mesh, in this order: what the kills left behind is
//! what is rebuilt.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kills;
mod rebuild;

use tests_kit::Mesh;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_with_a_process_or_a_read_model() {
    let adjust = |settings: &mut platform_config::Settings| {
        // How long a dead member keeps its partitions.
        settings.kafka.session_timeout_ms = 6_000;
        // A repetition of what died in flight waits a multiple of this.
        settings.kafka.message_timeout_ms = 5_000;
    };
    let mesh = Mesh::start("recovery", adjust).await.unwrap();
    kills::each_role_dead_when_its_turn_comes(&mesh).await;
    let tickets = kills::each_role_killed_under_traffic(&mesh).await;
    rebuild::what_is_dropped_is_rebuilt(&mesh, &tickets[0]).await;
}
