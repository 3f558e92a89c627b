use domain_kernel::Recorded;

use crate::event::WorkflowEvent;
use crate::request::{Ask, WorkflowRequest};

pub(crate) fn react(recorded: &Recorded<WorkflowEvent>) -> Vec<WorkflowRequest> {
    match &recorded.event {
        WorkflowEvent::StepStarted(started) => {
            let ask = Ask {
                workflow_id: started.workflow_id,
                step: &started.step,
                compensation: None,
            };
            vec![ask.request(
                &started.call,
                &started.space,
                &started.subject,
                started.deadline,
            )]
        }
        WorkflowEvent::CompensationStarted(started) => {
            let ask = Ask {
                workflow_id: started.workflow_id,
                step: &started.step,
                compensation: Some(started.attempt),
            };
            vec![ask.request(
                &started.call,
                &started.space,
                &started.subject,
                started.deadline,
            )]
        }
        WorkflowEvent::StepFailed(failed) => failed
            .cancels
            .iter()
            .map(|call| {
                let ask = Ask {
                    workflow_id: failed.workflow_id,
                    step: &failed.step,
                    compensation: None,
                };
                ask.cancellation(call, &failed.reason)
            })
            .collect(),
        WorkflowEvent::Started(_)
        | WorkflowEvent::StepSucceeded(_)
        | WorkflowEvent::StepCompensated(_)
        | WorkflowEvent::Succeeded(_)
        | WorkflowEvent::Compensated(_)
        | WorkflowEvent::Parked(_) => Vec::new(),
    }
}
