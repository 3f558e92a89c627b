use domain_context::{NotificationEvent, SubscriberNotified};
use domain_effect::{EffectConfirmed, EffectRequest};
use domain_execution::ExecutionRequest;
use domain_kernel::{Codec, Json, Recorded, Timestamp, WorkflowId};
use domain_workflow::{
    FailStep, Next, Progress, RequestId, ResolvedCall, Run, Start, SucceedStep, Then, TriggeredBy,
    WorkflowCommand, WorkflowDecider, WorkflowEvent, WorkflowRequest, WorkflowState,
};
use metrics::counter;
use platform_log::{DecodeError, Decoder, Encoder, Outgoing, Record, SchemaRegistry};
use platform_projector::{Failure, Process, request_metadata};
use schemas::{Effects, Executions, Notifications, Outcomes, Results, Workflows};
use serde_json::{Value, json};
use tracing::info;

use crate::definitions::{Definitions, Found};
use crate::input::Input;
use crate::resolve::{Resolver, after};
use crate::scope::Scope;

const SOURCE: &str = "/agentmesh/workflow";

/// A subscriber that is a workflow is named so.
const WORKFLOW_SUBSCRIBER: &str = "workflow/";

/// The workflow decider on the log.
#[derive(Debug)]
pub struct WorkflowProcess {
    definitions: Definitions,
    resolver: Resolver,
    encoder: Encoder,
    notifications: Decoder<Notifications>,
    results: Decoder<Results>,
    outcomes: Decoder<Outcomes>,
    workflows: Decoder<Workflows>,
    compensation_attempts: u32,
}

/// What routing found out: the definition a run is started with, or that the
/// stream explains itself.
#[derive(Debug, Clone)]
pub enum Route {
    Start(Found),
    Answer,
}

impl WorkflowProcess {
    pub(crate) fn new(
        definitions: Definitions,
        registry: &SchemaRegistry,
        encoder: Encoder,
        compensation_attempts: u32,
    ) -> Self {
        Self {
            definitions,
            resolver: Resolver::default(),
            encoder,
            notifications: Decoder::new(registry.clone()),
            results: Decoder::new(registry.clone()),
            outcomes: Decoder::new(registry.clone()),
            workflows: Decoder::new(registry.clone()),
            compensation_attempts,
        }
    }
}

impl Process for WorkflowProcess {
    type Decider = WorkflowDecider;
    type Input = Input;
    type Route = Route;

    const NAME: &'static str = "workflow";

    fn inputs(&self) -> Vec<&'static str> {
        vec![Notifications::TOPIC, Results::TOPIC, Outcomes::TOPIC]
    }

    fn state_topic(&self) -> &'static str {
        Workflows::TOPIC
    }

    fn source(&self) -> &'static str {
        SOURCE
    }

    async fn decode(&self, record: &Record) -> Result<Option<Recorded<Input>>, DecodeError> {
        let (meta, input) = if record.topic == Notifications::TOPIC {
            let Recorded { meta, event } = self.notifications.decode(record).await?;
            let NotificationEvent::Notified(notified) = event;
            let wanted = notified.subscriber.starts_with(WORKFLOW_SUBSCRIBER);
            (meta, wanted.then_some(Input::Notified(notified)))
        } else if record.topic == Results::TOPIC {
            let Recorded { meta, event } = self.results.decode(record).await?;
            (meta, Input::of_execution(event))
        } else {
            let Recorded { meta, event } = self.outcomes.decode(record).await?;
            (meta, Input::of_effect(event))
        };
        Ok(input.map(|event| Recorded { meta, event }))
    }

    async fn decode_own(&self, record: &Record) -> Result<Recorded<WorkflowEvent>, DecodeError> {
        self.workflows.decode(record).await
    }

    fn streams(&self, input: &Recorded<Input>) -> Vec<String> {
        let id = match &input.event {
            Input::Notified(notified) => started_by(notified).map(|(id, _)| id),
            answer => answer.workflow_id(),
        };
        id.iter().map(ToString::to_string).collect()
    }

    async fn route(
        &self,
        _partition: i32,
        input: &Recorded<Input>,
    ) -> Result<Vec<(String, Route)>, Failure> {
        if let Some(workflow_id) = input.event.workflow_id() {
            return Ok(vec![(workflow_id.to_string(), Route::Answer)]);
        }
        let Input::Notified(notified) = &input.event else {
            return Ok(Vec::new());
        };
        let Some((workflow_id, definition_id)) = started_by(notified) else {
            return Ok(Vec::new());
        };
        let found = self
            .definitions
            .find(&input.meta.tenant, definition_id)
            .await?;
        Ok(found
            .map(|found| (workflow_id.to_string(), Route::Start(found)))
            .into_iter()
            .collect())
    }

    fn command(
        &self,
        input: &Recorded<Input>,
        route: Route,
        state: &WorkflowState,
        now: Timestamp,
    ) -> Result<Option<WorkflowCommand>, Failure> {
        let command = match (&input.event, route, &state.run) {
            (Input::Notified(notified), Route::Start(found), None) => {
                self.start(notified, found, now)
            }
            (Input::Notified(_), ..) => None,
            // An answer to a question that no run asked, such as a user's own.
            (_, _, None) => None,
            (answer, _, Some(run)) => self.answer(answer, run, now),
        };
        Ok(command)
    }

    fn decided(&self, _partition: i32, events: &[Recorded<WorkflowEvent>]) {
        for recorded in events {
            let name = Workflows::name(&recorded.event);
            counter!("agentmesh_workflow_events_total", "event" => name).increment(1);
            info!(workflow.id = %recorded.meta.stream, workflow.event = name, "workflow went on");
        }
    }

    fn encode_event(
        &self,
        recorded: &Recorded<WorkflowEvent>,
    ) -> Result<Outgoing, platform_log::Error> {
        self.encoder.encode::<Workflows>(recorded)
    }

    fn encode_request(
        &self,
        cause: &Recorded<WorkflowEvent>,
        ordinal: usize,
        request: WorkflowRequest,
    ) -> Result<Outgoing, platform_log::Error> {
        // A request opens its stream; the only thing that may follow is that it
        // is called off.
        match request {
            WorkflowRequest::Execution(event) => {
                let (id, version) = match &event {
                    ExecutionRequest::Requested(requested) => (requested.execution_id, 1),
                    ExecutionRequest::Cancelled(cancelled) => (cancelled.execution_id, 2),
                };
                let meta = request_metadata(&cause.meta, ordinal, id.to_string(), version, SOURCE);
                self.encoder.encode::<Executions>(&Recorded { meta, event })
            }
            WorkflowRequest::Effect(event) => {
                let (id, version) = match &event {
                    EffectRequest::Requested(requested) => (requested.effect_id, 1),
                    EffectRequest::Cancelled(cancelled) => (cancelled.effect_id, 2),
                };
                let meta = request_metadata(&cause.meta, ordinal, id.to_string(), version, SOURCE);
                self.encoder.encode::<Effects>(&Recorded { meta, event })
            }
        }
    }

    fn wake_at(&self, state: &WorkflowState) -> Option<Timestamp> {
        state.wake_at()
    }

    fn timer_command(
        &self,
        _stream: &str,
        _state: &WorkflowState,
        now: Timestamp,
    ) -> Option<WorkflowCommand> {
        Some(WorkflowCommand::Tick {
            now,
            attempts: self.compensation_attempts,
        })
    }
}

impl WorkflowProcess {
    fn start(
        &self,
        notified: &SubscriberNotified,
        found: Found,
        now: Timestamp,
    ) -> Option<WorkflowCommand> {
        let (workflow_id, _) = started_by(notified)?;
        let trigger = TriggeredBy {
            context_id: notified.context_id,
            kind: notified.kind.clone(),
            space: notified.space.clone(),
            subject: notified.subject.clone(),
            content: notified.content.clone(),
        };
        let definition = (*found.definition).clone();
        let scope = Scope::new(workflow_id, &trigger);
        let next = match self.resolver.is_triggered(&definition, &scope) {
            Ok(true) => self.resolver.next(&definition.steps, scope),
            Ok(false) => return None,
            // A condition nobody can evaluate is a run that failed, for all to
            // see, and not a context that was quietly passed over.
            Err(reason) => Next {
                skipped: Vec::new(),
                then: Then::Broken {
                    step: definition.steps.first()?.name.clone(),
                    reason,
                },
            },
        };
        Some(WorkflowCommand::Start(Start {
            workflow_id,
            definition_id: found.id,
            definition_digest: found.digest,
            definition,
            trigger,
            next,
            now,
        }))
    }

    fn answer(&self, answer: &Input, run: &Run, now: Timestamp) -> Option<WorkflowCommand> {
        match answer {
            Input::Notified(_) => None,
            Input::ExecutionSucceeded(event) => {
                let request = RequestId::Execution(event.execution_id);
                if event.compensation {
                    return Some(undone(request, &event.step, now));
                }
                self.done(run, request, &event.step, event.output.clone(), now)
            }
            Input::EffectConfirmed(event) => {
                let request = RequestId::Effect(event.effect_id);
                if event.compensation {
                    return Some(undone(request, &event.step, now));
                }
                let output = outcome(run, event);
                self.done(run, request, &event.step, output, now)
            }
            Input::ExecutionFailed(event) => Some(self.failed(
                RequestId::Execution(event.execution_id),
                event.compensation,
                &event.step,
                (&event.code, &event.reason),
                now,
            )),
            Input::EffectFailed(event) => Some(self.failed(
                RequestId::Effect(event.effect_id),
                event.compensation,
                &event.step,
                (&event.code, &event.reason),
                now,
            )),
        }
    }

    fn done(
        &self,
        run: &Run,
        request: RequestId,
        step: &str,
        output: Json,
        now: Timestamp,
    ) -> Option<WorkflowCommand> {
        // What was said before is not worked out again.
        let progress = run.steps.get(step).map(|step| &step.progress)?;
        if !matches!(progress, Progress::Running { .. } | Progress::Failed) {
            return None;
        }
        let definition = run.step_definition(step)?;
        let mut scope = Scope::of_run(run);
        let value: Value = serde_json::from_str(output.as_str()).unwrap_or_default();
        scope.add_step(step, value, false);
        let compensation = self.resolver.plan(definition, &scope);
        let next = self.resolver.next(after(&run.definition, step), scope);
        Some(WorkflowCommand::SucceedStep(SucceedStep {
            request,
            step: step.to_owned(),
            output,
            compensation,
            next,
            now,
        }))
    }

    fn failed(
        &self,
        request: RequestId,
        compensation: bool,
        step: &str,
        (code, reason): (&str, &str),
        now: Timestamp,
    ) -> WorkflowCommand {
        if compensation {
            return WorkflowCommand::FailCompensation {
                request,
                step: step.to_owned(),
                reason: format!("{code}: {reason}"),
                now,
                attempts: self.compensation_attempts,
            };
        }
        WorkflowCommand::FailStep(FailStep {
            request,
            step: step.to_owned(),
            code: code.to_owned(),
            reason: reason.to_owned(),
            now,
        })
    }
}

fn undone(request: RequestId, step: &str, now: Timestamp) -> WorkflowCommand {
    WorkflowCommand::SucceedCompensation {
        request,
        step: step.to_owned(),
        now,
    }
}

/// The run a notification starts, and the definition it asks for. The same
/// notification always starts the same run.
fn started_by(notified: &SubscriberNotified) -> Option<(WorkflowId, &str)> {
    let definition_id = notified.subscriber.strip_prefix(WORKFLOW_SUBSCRIBER)?;
    let notification = notified.notification_id.to_string();
    Some((
        WorkflowId::derive(&[&notification, definition_id]),
        definition_id,
    ))
}

/// What later steps see of a write: where it went and what the remote calls it.
fn outcome(run: &Run, confirmed: &EffectConfirmed) -> Json {
    let call = run
        .steps
        .get(&confirmed.step)
        .and_then(|step| step.call.as_ref());
    let (object, external_id) = match call {
        Some(ResolvedCall::Effect {
            object,
            external_id,
            ..
        }) => (Some(object), Some(external_id)),
        _ => (None, None),
    };
    let output = json!({
        "connector_id": confirmed.connector_id,
        "object": object,
        "external_id": external_id,
        "remote_id": confirmed.remote_id,
        "remote_version": confirmed.remote_version,
        "properties_sha256": confirmed.properties_sha256,
    });
    Json::from_text(output.to_string())
}
