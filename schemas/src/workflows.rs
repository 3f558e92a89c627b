use domain_kernel::{Codec, CodecError, Recorded, Timestamp, WorkflowId};
use domain_workflow::{self as domain, WorkflowEvent};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    call::Call,
    form::{Form, WriterSchema},
    value::{Text, Unmappable, json, space},
    workflow_started::WorkflowStarted,
};

const TOPIC: &str = "mesh.workflows";

pub(crate) static STARTED: Form = Form::new(
    TOPIC,
    "WorkflowStarted",
    1,
    include_str!("../avro/mesh.workflows/WorkflowStarted/v1.avsc"),
);
pub(crate) static STEP_STARTED: Form = Form::new(
    TOPIC,
    "StepStarted",
    1,
    include_str!("../avro/mesh.workflows/StepStarted/v1.avsc"),
);
pub(crate) static STEP_SUCCEEDED: Form = Form::new(
    TOPIC,
    "StepSucceeded",
    1,
    include_str!("../avro/mesh.workflows/StepSucceeded/v1.avsc"),
);
pub(crate) static STEP_FAILED: Form = Form::new(
    TOPIC,
    "StepFailed",
    1,
    include_str!("../avro/mesh.workflows/StepFailed/v1.avsc"),
);
pub(crate) static COMPENSATION_STARTED: Form = Form::new(
    TOPIC,
    "CompensationStarted",
    1,
    include_str!("../avro/mesh.workflows/CompensationStarted/v1.avsc"),
);
pub(crate) static STEP_COMPENSATED: Form = Form::new(
    TOPIC,
    "StepCompensated",
    1,
    include_str!("../avro/mesh.workflows/StepCompensated/v1.avsc"),
);
pub(crate) static SUCCEEDED: Form = Form::new(
    TOPIC,
    "WorkflowSucceeded",
    1,
    include_str!("../avro/mesh.workflows/WorkflowSucceeded/v1.avsc"),
);
pub(crate) static COMPENSATED: Form = Form::new(
    TOPIC,
    "WorkflowCompensated",
    1,
    include_str!("../avro/mesh.workflows/WorkflowCompensated/v1.avsc"),
);
pub(crate) static PARKED: Form = Form::new(
    TOPIC,
    "WorkflowParked",
    1,
    include_str!("../avro/mesh.workflows/WorkflowParked/v1.avsc"),
);

/// `mesh.workflows`.
#[derive(Debug, Clone, Copy)]
pub struct Workflows;

impl Codec for Workflows {
    type Event = WorkflowEvent;
    type WriterSchema = WriterSchema;

    const TOPIC: &'static str = TOPIC;

    fn name(event: &WorkflowEvent) -> &'static str {
        match event {
            WorkflowEvent::Started(_) => STARTED.name(),
            WorkflowEvent::StepStarted(_) => STEP_STARTED.name(),
            WorkflowEvent::StepSucceeded(_) => STEP_SUCCEEDED.name(),
            WorkflowEvent::StepFailed(_) => STEP_FAILED.name(),
            WorkflowEvent::CompensationStarted(_) => COMPENSATION_STARTED.name(),
            WorkflowEvent::StepCompensated(_) => STEP_COMPENSATED.name(),
            WorkflowEvent::Succeeded(_) => SUCCEEDED.name(),
            WorkflowEvent::Compensated(_) => COMPENSATED.name(),
            WorkflowEvent::Parked(_) => PARKED.name(),
        }
    }

    fn key(recorded: &Recorded<WorkflowEvent>) -> String {
        recorded.meta.correlation.to_string()
    }

    fn encode(event: &WorkflowEvent) -> Result<Vec<u8>, CodecError> {
        match event {
            WorkflowEvent::Started(event) => {
                STARTED.encode(&WorkflowStarted::try_from(event).map_err(|source| {
                    CodecError::Encode {
                        name: STARTED.name(),
                        source: Box::new(source),
                    }
                })?)
            }
            WorkflowEvent::StepStarted(event) => STEP_STARTED.encode(&StepStarted::from(event)),
            WorkflowEvent::StepSucceeded(event) => {
                STEP_SUCCEEDED.encode(&StepSucceeded::from(event))
            }
            WorkflowEvent::StepFailed(event) => STEP_FAILED.encode(&StepFailed::from(event)),
            WorkflowEvent::CompensationStarted(event) => {
                COMPENSATION_STARTED.encode(&CompensationStarted::from(event))
            }
            WorkflowEvent::StepCompensated(event) => {
                STEP_COMPENSATED.encode(&StepCompensated::from(event))
            }
            WorkflowEvent::Succeeded(event) => SUCCEEDED.encode(&WorkflowSucceeded::from(event)),
            WorkflowEvent::Compensated(event) => {
                COMPENSATED.encode(&WorkflowCompensated::from(event))
            }
            WorkflowEvent::Parked(event) => PARKED.encode(&WorkflowParked::from(event)),
        }
    }

    fn parse_schema(name: &str, text: &str) -> Result<WriterSchema, CodecError> {
        WriterSchema::parse(name, text)
    }

    fn decode(
        name: &str,
        schema: &WriterSchema,
        datum: &[u8],
    ) -> Result<WorkflowEvent, CodecError> {
        match name {
            "WorkflowStarted" => schema
                .read_as::<WorkflowStarted<'_>, _>(name, datum)
                .map(WorkflowEvent::Started),
            "StepStarted" => schema
                .read_as::<StepStarted<'_>, _>(name, datum)
                .map(WorkflowEvent::StepStarted),
            "StepSucceeded" => schema
                .read_as::<StepSucceeded<'_>, _>(name, datum)
                .map(WorkflowEvent::StepSucceeded),
            "StepFailed" => schema
                .read_as::<StepFailed<'_>, _>(name, datum)
                .map(WorkflowEvent::StepFailed),
            "CompensationStarted" => schema
                .read_as::<CompensationStarted<'_>, _>(name, datum)
                .map(WorkflowEvent::CompensationStarted),
            "StepCompensated" => schema
                .read_as::<StepCompensated<'_>, _>(name, datum)
                .map(WorkflowEvent::StepCompensated),
            "WorkflowSucceeded" => schema
                .read_as::<WorkflowSucceeded, _>(name, datum)
                .map(WorkflowEvent::Succeeded),
            "WorkflowCompensated" => schema
                .read_as::<WorkflowCompensated<'_>, _>(name, datum)
                .map(WorkflowEvent::Compensated),
            "WorkflowParked" => schema
                .read_as::<WorkflowParked<'_>, _>(name, datum)
                .map(WorkflowEvent::Parked),
            _ => Err(CodecError::UnknownEvent {
                topic: TOPIC,
                name: name.to_owned(),
            }),
        }
    }
}

/// The event as published, for the JSON rendering.
pub(crate) fn render(event: &WorkflowEvent) -> serde_json::Result<serde_json::Value> {
    match event {
        WorkflowEvent::Started(event) => serde_json::to_value(WorkflowStarted::try_from(event)?),
        WorkflowEvent::StepStarted(event) => serde_json::to_value(StepStarted::from(event)),
        WorkflowEvent::StepSucceeded(event) => serde_json::to_value(StepSucceeded::from(event)),
        WorkflowEvent::StepFailed(event) => serde_json::to_value(StepFailed::from(event)),
        WorkflowEvent::CompensationStarted(event) => {
            serde_json::to_value(CompensationStarted::from(event))
        }
        WorkflowEvent::StepCompensated(event) => serde_json::to_value(StepCompensated::from(event)),
        WorkflowEvent::Succeeded(event) => serde_json::to_value(WorkflowSucceeded::from(event)),
        WorkflowEvent::Compensated(event) => serde_json::to_value(WorkflowCompensated::from(event)),
        WorkflowEvent::Parked(event) => serde_json::to_value(WorkflowParked::from(event)),
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StepStarted<'a> {
    workflow_id: Uuid,
    step: Text<'a>,
    call: Call<'a>,
    space: Text<'a>,
    subject: Text<'a>,
    deadline: i64,
}

impl<'a> From<&'a domain::StepStarted> for StepStarted<'a> {
    fn from(event: &'a domain::StepStarted) -> Self {
        Self {
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
            call: (&event.call).into(),
            space: event.space.as_str().into(),
            subject: (&event.subject).into(),
            deadline: event.deadline.as_micros(),
        }
    }
}

impl TryFrom<StepStarted<'_>> for domain::StepStarted {
    type Error = Unmappable;

    fn try_from(published: StepStarted<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
            call: published.call.try_into()?,
            space: space(published.space),
            subject: published.subject.into_owned(),
            deadline: Timestamp::from_micros(published.deadline),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StepSucceeded<'a> {
    workflow_id: Uuid,
    step: Text<'a>,
    output: Text<'a>,
    skipped: bool,
    compensation: Option<PlannedCompensation<'a>>,
}

impl<'a> From<&'a domain::StepSucceeded> for StepSucceeded<'a> {
    fn from(event: &'a domain::StepSucceeded) -> Self {
        Self {
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
            output: event.output.as_str().into(),
            skipped: event.skipped,
            compensation: event.compensation.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<StepSucceeded<'_>> for domain::StepSucceeded {
    type Error = Unmappable;

    fn try_from(published: StepSucceeded<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
            output: json("output", published.output)?,
            skipped: published.skipped,
            compensation: published.compensation.map(TryInto::try_into).transpose()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StepFailed<'a> {
    workflow_id: Uuid,
    step: Text<'a>,
    code: Text<'a>,
    reason: Text<'a>,
    cancels: Option<Call<'a>>,
}

impl<'a> From<&'a domain::StepFailed> for StepFailed<'a> {
    fn from(event: &'a domain::StepFailed) -> Self {
        Self {
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
            code: (&event.code).into(),
            reason: (&event.reason).into(),
            cancels: event.cancels.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<StepFailed<'_>> for domain::StepFailed {
    type Error = Unmappable;

    fn try_from(published: StepFailed<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
            code: published.code.into_owned(),
            reason: published.reason.into_owned(),
            cancels: published.cancels.map(TryInto::try_into).transpose()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct CompensationStarted<'a> {
    workflow_id: Uuid,
    step: Text<'a>,
    call: Call<'a>,
    space: Text<'a>,
    subject: Text<'a>,
    attempt: u32,
    deadline: i64,
}

impl<'a> From<&'a domain::CompensationStarted> for CompensationStarted<'a> {
    fn from(event: &'a domain::CompensationStarted) -> Self {
        Self {
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
            call: (&event.call).into(),
            space: event.space.as_str().into(),
            subject: (&event.subject).into(),
            attempt: event.attempt,
            deadline: event.deadline.as_micros(),
        }
    }
}

impl TryFrom<CompensationStarted<'_>> for domain::CompensationStarted {
    type Error = Unmappable;

    fn try_from(published: CompensationStarted<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
            call: published.call.try_into()?,
            space: space(published.space),
            subject: published.subject.into_owned(),
            attempt: published.attempt,
            deadline: Timestamp::from_micros(published.deadline),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StepCompensated<'a> {
    workflow_id: Uuid,
    step: Text<'a>,
}

impl<'a> From<&'a domain::StepCompensated> for StepCompensated<'a> {
    fn from(event: &'a domain::StepCompensated) -> Self {
        Self {
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
        }
    }
}

impl TryFrom<StepCompensated<'_>> for domain::StepCompensated {
    type Error = Unmappable;

    fn try_from(published: StepCompensated<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct WorkflowSucceeded {
    workflow_id: Uuid,
}

impl From<&domain::WorkflowSucceeded> for WorkflowSucceeded {
    fn from(event: &domain::WorkflowSucceeded) -> Self {
        Self {
            workflow_id: event.workflow_id.as_uuid(),
        }
    }
}

impl TryFrom<WorkflowSucceeded> for domain::WorkflowSucceeded {
    type Error = Unmappable;

    fn try_from(published: WorkflowSucceeded) -> Result<Self, Unmappable> {
        Ok(Self {
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct WorkflowCompensated<'a> {
    workflow_id: Uuid,
    failed_step: Text<'a>,
    reason: Text<'a>,
}

impl<'a> From<&'a domain::WorkflowCompensated> for WorkflowCompensated<'a> {
    fn from(event: &'a domain::WorkflowCompensated) -> Self {
        Self {
            workflow_id: event.workflow_id.as_uuid(),
            failed_step: (&event.failed_step).into(),
            reason: (&event.reason).into(),
        }
    }
}

impl TryFrom<WorkflowCompensated<'_>> for domain::WorkflowCompensated {
    type Error = Unmappable;

    fn try_from(published: WorkflowCompensated<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            failed_step: published.failed_step.into_owned(),
            reason: published.reason.into_owned(),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct WorkflowParked<'a> {
    workflow_id: Uuid,
    step: Text<'a>,
    reason: Text<'a>,
}

impl<'a> From<&'a domain::WorkflowParked> for WorkflowParked<'a> {
    fn from(event: &'a domain::WorkflowParked) -> Self {
        Self {
            workflow_id: event.workflow_id.as_uuid(),
            step: (&event.step).into(),
            reason: (&event.reason).into(),
        }
    }
}

impl TryFrom<WorkflowParked<'_>> for domain::WorkflowParked {
    type Error = Unmappable;

    fn try_from(published: WorkflowParked<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            step: published.step.into_owned(),
            reason: published.reason.into_owned(),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct PlannedCompensation<'a> {
    call: Call<'a>,
    deadline_ms: u64,
}

impl<'a> From<&'a domain::PlannedCompensation> for PlannedCompensation<'a> {
    fn from(event: &'a domain::PlannedCompensation) -> Self {
        Self {
            call: (&event.call).into(),
            deadline_ms: event.deadline_ms,
        }
    }
}

impl TryFrom<PlannedCompensation<'_>> for domain::PlannedCompensation {
    type Error = Unmappable;

    fn try_from(published: PlannedCompensation<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            call: published.call.try_into()?,
            deadline_ms: published.deadline_ms,
        })
    }
}
