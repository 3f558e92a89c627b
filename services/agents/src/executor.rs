use std::time::Duration;

use domain_execution::{
    Action, ExecutionCommand, ExecutionDecider, ExecutionEvent, ExecutionRequest,
    ExecutionRequested, ExecutionState, USER_STEP,
};
use domain_kernel::{Codec, ContextId, Decider, Json, Metadata, Recorded};
use metrics::{counter, histogram};
use platform_log::{DecodeError, Decoder, Encoder, Outgoing, Record, SchemaRegistry};
use platform_mcp::ToolCall;
use platform_projector::{CancelReason, Cancellation, Executor, Failure, Journal};
use schemas::{Executions, Results};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tracing::{Instrument, info, info_span, warn};

use crate::agent::Agents;
use crate::call::Caller;
use crate::failure::ExecutionFailure;
use crate::history::{Federation, History, Question};

const SOURCE: &str = "/agentmesh/agents";

/// Calls agents' tools, each execution to its answer.
#[derive(Debug)]
pub struct AgentExecutor {
    agents: Agents,
    federation: Federation,
    caller: Caller,
    requests: Decoder<Executions>,
    answers: Decoder<Results>,
    encoder: Encoder,
    concurrency: usize,
    /// How many of those one agent may take.
    places: usize,
}

/// A call that is ready to be made.
struct Prepared {
    endpoint: String,
    arguments: Map<String, Value>,
    arguments_sha256: String,
    shown: Vec<ContextId>,
    deadline: Instant,
}

/// What a tool answered, or why it did not.
struct Answered {
    output: Json,
    model: String,
}

impl AgentExecutor {
    pub(crate) fn new(
        agents: Agents,
        federation: Federation,
        caller: Caller,
        registry: &SchemaRegistry,
        encoder: Encoder,
        settings: &platform_config::Agents,
    ) -> Self {
        Self {
            agents,
            federation,
            caller,
            requests: Decoder::new(registry.clone()),
            answers: Decoder::new(registry.clone()),
            encoder,
            concurrency: settings.concurrency,
            places: settings.agent_concurrency,
        }
    }
}

impl Executor for AgentExecutor {
    type Request = ExecutionRequest;
    type Answer = ExecutionEvent;

    // `agents` is the read model of the registered agents.
    const NAME: &'static str = "agent-runs";

    fn topics(&self) -> Vec<&'static str> {
        vec![Executions::TOPIC]
    }

    fn answer_topic(&self) -> &'static str {
        Results::TOPIC
    }

    fn source(&self) -> &'static str {
        SOURCE
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    async fn decode(
        &self,
        record: &Record,
    ) -> Result<Option<Recorded<ExecutionRequest>>, DecodeError> {
        self.requests.decode(record).await.map(Some)
    }

    async fn decode_answer(
        &self,
        record: &Record,
    ) -> Result<Recorded<ExecutionEvent>, DecodeError> {
        self.answers.decode(record).await
    }

    fn encode_answer(
        &self,
        recorded: &Recorded<ExecutionEvent>,
    ) -> Result<Outgoing, platform_log::Error> {
        self.encoder.encode::<Results>(recorded)
    }

    fn stream(&self, request: &Recorded<ExecutionRequest>) -> String {
        match &request.event {
            ExecutionRequest::Requested(requested) => requested.execution_id.to_string(),
            ExecutionRequest::Cancelled(cancelled) => cancelled.execution_id.to_string(),
        }
    }

    fn is_final(&self, answer: &ExecutionEvent) -> bool {
        match answer {
            ExecutionEvent::Succeeded(_) | ExecutionEvent::Failed(_) => true,
            ExecutionEvent::Started(_) => false,
        }
    }

    fn cancels(&self, request: &Recorded<ExecutionRequest>) -> Option<String> {
        match &request.event {
            ExecutionRequest::Requested(_) => None,
            ExecutionRequest::Cancelled(cancelled) => Some(cancelled.execution_id.to_string()),
        }
    }

    fn share_key(&self, request: &Recorded<ExecutionRequest>) -> Option<String> {
        match &request.event {
            ExecutionRequest::Requested(requested) => {
                Some(format!("{}/{}", request.meta.tenant, requested.agent_id))
            }
            ExecutionRequest::Cancelled(_) => None,
        }
    }

    fn places(&self) -> usize {
        self.places
    }

    async fn execute(
        &self,
        request: Recorded<ExecutionRequest>,
        journal: &Journal<Self>,
        history: Vec<Recorded<ExecutionEvent>>,
        cancel: Cancellation,
    ) -> Result<(), Failure> {
        let Recorded { meta, event } = request;
        let ExecutionRequest::Requested(request) = event else {
            return Ok(());
        };
        let span = info_span!(
            "execution",
            execution.id = %request.execution_id,
            agent.id = %request.agent_id,
            mcp.tool = %request.tool,
        );
        platform_telemetry::span_with_parent(&span, meta.traceparent.as_deref());
        let state = history
            .iter()
            .fold(ExecutionState::default(), |state, answer| {
                ExecutionDecider::evolve(state, &answer.event)
            });
        let run = Run {
            executor: self,
            meta,
            request,
            journal,
            cancel,
            state,
            began: Instant::now(),
        };
        run.carry_out().instrument(span).await
    }
}

/// One execution under way.
struct Run<'a> {
    executor: &'a AgentExecutor,
    meta: Metadata,
    request: ExecutionRequested,
    journal: &'a Journal<AgentExecutor>,
    cancel: Cancellation,
    state: ExecutionState,
    began: Instant,
}

impl Run<'_> {
    async fn carry_out(mut self) -> Result<(), Failure> {
        let result = match self.prepare().await {
            Ok(prepared) => {
                // On the log before the call is made: what happens next may
                // never be heard of.
                let start = Action::Start {
                    attempt: self.state.attempts + 1,
                    shown: prepared.shown.clone(),
                    arguments_sha256: prepared.arguments_sha256.clone(),
                };
                self.record(start).await?;
                self.journal.confirm_ownership().await?;
                self.call(prepared).await
            }
            Err(failure) => Err(failure),
        };
        // Whoever takes over calls again under the same key.
        if result.is_err() && self.cancel.reason() == Some(CancelReason::Shutdown) {
            return Ok(());
        }
        let duration_ms = self.duration_ms();
        let outcome = match result {
            Ok(answered) => {
                let succeed = Action::Succeed {
                    output: answered.output,
                    model: answered.model,
                    duration_ms,
                };
                match self.record(succeed).await {
                    Ok(()) => "succeeded",
                    Err(failure) if failure.is_transient() => return Err(failure),
                    // Too large for the log, say. The workflow must hear of it.
                    Err(_) => {
                        let failure = ExecutionFailure::new(
                            "invalid-output",
                            "the answer cannot be recorded",
                        );
                        self.fail(failure, duration_ms).await?
                    }
                }
            }
            Err(failure) => self.fail(failure, duration_ms).await?,
        };
        counter!("agentmesh_executions_total", "agent" => self.request.agent_id.clone(), "outcome" => outcome)
            .increment(1);
        histogram!("agentmesh_execution_duration_seconds", "agent" => self.request.agent_id.clone())
            .record(self.began.elapsed().as_secs_f64());
        info!(
            execution.outcome = outcome,
            execution.duration_ms = duration_ms,
            "execution ended"
        );
        Ok(())
    }

    /// Everything that comes before the call. Ends early when called off.
    async fn prepare(&self) -> Result<Prepared, ExecutionFailure> {
        let until = self.until();
        let token = self.cancel.token();
        tokio::select! {
            biased;
            () = token.cancelled() => Err(ExecutionFailure::cancelled()),
            () = tokio::time::sleep_until(until) => Err(ExecutionFailure::deadline()),
            prepared = self.gather(until) => prepared,
        }
    }

    async fn gather(&self, until: Instant) -> Result<Prepared, ExecutionFailure> {
        let request = &self.request;
        let executor = self.executor;
        let agent = executor
            .agents
            .find(&self.meta.tenant, &request.agent_id, &request.tool)
            .await?;
        let mut arguments: Map<String, Value> = serde_json::from_str(request.arguments.as_str())
            .map_err(|_| {
                ExecutionFailure::new("invalid-arguments", "the arguments are not a JSON object")
            })?;
        let deadline = until.min(self.began + Duration::from_millis(agent.timeout_ms));
        let mut shown = Vec::new();
        // Undoing needs to know what was done, not what led to it.
        if !request.compensation {
            let history = self.history(deadline).await?;
            shown = history.shown;
            arguments.insert("history".to_owned(), Value::Array(history.argument));
        }
        let text = Value::Object(arguments.clone()).to_string();
        Ok(Prepared {
            endpoint: agent.endpoint,
            arguments,
            arguments_sha256: hex::encode(Sha256::digest(text.as_bytes())),
            shown,
            deadline,
        })
    }

    /// Half of the time left may go into the history; the rest is the agent's.
    async fn history(&self, deadline: Instant) -> Result<History, ExecutionFailure> {
        let of_user = self.request.step == USER_STEP;
        // Whoever asks about nobody in particular wants no history.
        if of_user && self.request.subject.is_empty() {
            return Ok(History::default());
        }
        let now = Instant::now();
        let half = deadline.saturating_duration_since(now) / 2;
        let question = Question {
            tenant: &self.meta.tenant,
            space: &self.request.space,
            subject: &self.request.subject,
            correlation: (!of_user).then_some(self.meta.correlation),
        };
        self.executor.federation.history(question, now + half).await
    }

    async fn call(&self, prepared: Prepared) -> Result<Answered, ExecutionFailure> {
        let execution_id = self.request.execution_id.to_string();
        let traceparent =
            platform_telemetry::current_traceparent().or_else(|| self.meta.traceparent.clone());
        let call = ToolCall {
            endpoint: &prepared.endpoint,
            tool: &self.request.tool,
            arguments: prepared.arguments,
            idempotency_key: &execution_id,
            traceparent: traceparent.as_deref(),
            deadline: prepared.deadline,
        };
        let answer = self
            .executor
            .caller
            .call(&self.request.agent_id, call, &self.cancel.token())
            .await
            .map_err(|error| ExecutionFailure::from(&error))?;
        let model = answer.output.get("model").and_then(Value::as_str);
        Ok(Answered {
            model: model.unwrap_or("unknown").to_owned(),
            output: Json::from_text(Value::Object(answer.output).to_string()),
        })
    }

    async fn fail(
        &mut self,
        failure: ExecutionFailure,
        duration_ms: u64,
    ) -> Result<&'static str, Failure> {
        warn!(execution.code = failure.code, "execution failed");
        let fail = Action::Fail {
            code: failure.code.to_owned(),
            reason: failure.reason,
            duration_ms,
        };
        self.record(fail).await?;
        Ok(failure.code)
    }

    /// Decides and records what follows, if anything does.
    async fn record(&mut self, action: Action) -> Result<(), Failure> {
        let command = ExecutionCommand {
            request: self.request.clone(),
            action,
        };
        let events = ExecutionDecider::decide(&self.state, command).map_err(Failure::poison)?;
        for event in events {
            let recorded = self.journal.record(event).await?;
            self.state = ExecutionDecider::evolve(self.state.clone(), &recorded.event);
        }
        Ok(())
    }

    /// The deadline of the request, as this process counts time.
    fn until(&self) -> Instant {
        let left = self.request.deadline.as_millis() - platform_telemetry::now().as_millis();
        Instant::now() + Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }

    fn duration_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
