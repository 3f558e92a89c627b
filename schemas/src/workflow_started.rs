use domain_kernel::{ContextId, WorkflowId};
use domain_workflow as domain;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::value::{Text, Unmappable, json, space};

#[derive(Serialize, Deserialize)]
pub(crate) struct WorkflowStarted<'a> {
    workflow_id: Uuid,
    definition_id: Text<'a>,
    definition_digest: Text<'a>,
    /// JSON, in the form in which authors write definitions, which is published already.
    definition: Text<'a>,
    trigger: TriggeredBy<'a>,
}

impl<'a> TryFrom<&'a domain::WorkflowStarted> for WorkflowStarted<'a> {
    type Error = serde_json::Error;

    fn try_from(event: &'a domain::WorkflowStarted) -> Result<Self, serde_json::Error> {
        Ok(Self {
            workflow_id: event.workflow_id.as_uuid(),
            definition_id: (&event.definition_id).into(),
            definition_digest: (&event.definition_digest).into(),
            definition: serde_json::to_string(&event.definition)?.into(),
            trigger: (&event.trigger).into(),
        })
    }
}

impl TryFrom<WorkflowStarted<'_>> for domain::WorkflowStarted {
    type Error = Unmappable;

    fn try_from(published: WorkflowStarted<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            workflow_id: WorkflowId::from_uuid(published.workflow_id),
            definition_id: published.definition_id.into_owned(),
            definition_digest: published.definition_digest.into_owned(),
            definition: serde_json::from_str(&published.definition).map_err(|source| {
                Unmappable::Json {
                    field: "definition",
                    source,
                }
            })?,
            trigger: published.trigger.try_into()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct TriggeredBy<'a> {
    context_id: Uuid,
    kind: Text<'a>,
    space: Text<'a>,
    subject: Text<'a>,
    content: Text<'a>,
}

impl<'a> From<&'a domain::TriggeredBy> for TriggeredBy<'a> {
    fn from(event: &'a domain::TriggeredBy) -> Self {
        Self {
            context_id: event.context_id.as_uuid(),
            kind: (&event.kind).into(),
            space: event.space.as_str().into(),
            subject: (&event.subject).into(),
            content: event.content.as_str().into(),
        }
    }
}

impl TryFrom<TriggeredBy<'_>> for domain::TriggeredBy {
    type Error = Unmappable;

    fn try_from(published: TriggeredBy<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            context_id: ContextId::from_uuid(published.context_id),
            kind: published.kind.into_owned(),
            space: space(published.space),
            subject: published.subject.into_owned(),
            content: json("content", published.content)?,
        })
    }
}
