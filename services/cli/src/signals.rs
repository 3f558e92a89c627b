//! SIGINT and SIGTERM: the first asks for a drain, the second for an end now.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that was interrupted, by the custom of shells.
const INTERRUPTED: i32 = 130;

/// A token that is cancelled by the first signal.
pub(crate) fn shutdown_on_signal() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let shutdown = token.clone();
    tokio::spawn(async move {
        let mut either = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        either().await;
        tracing::info!("signal received, draining");
        shutdown.cancel();
        either().await;
        tracing::warn!("second signal received, ending at once");
        std::process::exit(INTERRUPTED);
    });
    Ok(token)
}
