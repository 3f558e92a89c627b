//! Calls of agents' tools: repeated while the agent server is away, never once
//! the tool has answered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use platform_mcp::{Error, McpClient, ToolAnswer, ToolCall};
use platform_resilience::{Backoff, BreakerSettings, Circuit, Failure, Retry, RetryBudget, retry};
use tokio_util::sync::CancellationToken;

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// An agent server that is away comes back soon or not at all within a deadline.
const BREAKER: BreakerSettings = BreakerSettings {
    failures_to_open: 8,
    open_for: Duration::from_secs(2),
    probes_to_close: 1,
};

/// One retry for each call in the long run, and a burst for a restart.
const RETRIES_PER_CALL: f64 = 1.0;
const RETRY_BURST: u32 = 256;

#[derive(Debug)]
pub(crate) struct Caller {
    mcp: McpClient,
    remotes: Mutex<HashMap<String, Remote>>,
}

/// What is known of one endpoint.
#[derive(Debug, Clone)]
struct Remote {
    circuit: Circuit,
    budget: std::sync::Arc<RetryBudget>,
}

impl Caller {
    pub(crate) fn new(mcp: McpClient) -> Self {
        Self {
            mcp,
            remotes: Mutex::default(),
        }
    }

    /// Calls the tool of `agent`, again after failures of the transport, until
    /// the deadline. The idempotency key is the same each time.
    pub(crate) async fn call(
        &self,
        agent: &str,
        call: ToolCall<'_>,
        cancel: &CancellationToken,
    ) -> Result<ToolAnswer, Error> {
        let Remote { circuit, budget } = self.remote(agent, call.endpoint);
        let settings = Retry {
            backoff: BACKOFF,
            max_attempts: u32::MAX,
            deadline: Some(call.deadline),
        };
        let attempts = retry(settings, Some(&budget), |_| async {
            let permit = circuit.admit().map_err(|refused| Failure::Transient {
                retry_after: Some(refused.retry_after),
                error: Error::Unreachable {
                    reason: "it has failed too often and is left alone for a while".to_owned(),
                    retry_after: None,
                },
            })?;
            let result = self.mcp.call_tool(call.clone(), cancel).await;
            match result {
                Ok(answer) => {
                    permit.success();
                    Ok(answer)
                }
                Err(error) if error.is_transient() => {
                    permit.failure();
                    let retry_after = match &error {
                        Error::Unreachable { retry_after, .. } => *retry_after,
                        _ => None,
                    };
                    Err(Failure::Transient { error, retry_after })
                }
                // A slow answer is no answer; a call that was called off says
                // nothing about the agent, and its permit is just returned.
                Err(Error::Deadline) => {
                    permit.failure();
                    Err(Failure::Final(Error::Deadline))
                }
                Err(Error::Cancelled) => Err(Failure::Final(Error::Cancelled)),
                Err(error) => {
                    permit.success();
                    Err(Failure::Final(error))
                }
            }
        });
        // A wait between two attempts ends with the cancellation as well.
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::Cancelled),
            result = attempts => result,
        }
    }

    fn remote(&self, agent: &str, endpoint: &str) -> Remote {
        let mut remotes = self.remotes.lock().unwrap_or_else(PoisonError::into_inner);
        remotes
            .entry(endpoint.to_owned())
            .or_insert_with(|| Remote {
                circuit: Circuit::new(&format!("agent {agent}"), BREAKER),
                budget: std::sync::Arc::new(RetryBudget::new(RETRIES_PER_CALL, RETRY_BURST)),
            })
            .clone()
    }
}
