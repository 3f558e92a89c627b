//! What expressions see: `trigger`, `steps` and `workflow`.

use domain_kernel::{Json, WorkflowId};
use domain_workflow::{Progress, Run, TriggeredBy};
use serde_json::{Map, Value, json};

/// The variables of one run at one moment, an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scope(Value);

impl Scope {
    /// At the start of a run.
    pub(crate) fn new(workflow_id: WorkflowId, trigger: &TriggeredBy) -> Self {
        Self(json!({
            "trigger": {
                "context_id": trigger.context_id.to_string(),
                "kind": trigger.kind,
                "space": trigger.space.as_str(),
                "subject": trigger.subject,
                "content": parsed(&trigger.content),
            },
            "steps": {},
            "workflow": {"id": workflow_id.to_string()},
        }))
    }

    /// In the middle of one: with the outputs of its finished steps.
    pub(crate) fn of_run(run: &Run) -> Self {
        let mut scope = Self::new(run.workflow_id, &run.trigger);
        for (name, step) in &run.steps {
            if let Some(output) = step.output() {
                let skipped = step.progress == Progress::Skipped;
                scope.add_step(name, parsed(&output), skipped);
            }
        }
        scope
    }

    pub(crate) fn add_step(&mut self, name: &str, output: Value, skipped: bool) {
        if let Some(Value::Object(steps)) = self.0.get_mut("steps") {
            let step = json!({"output": output, "skipped": skipped});
            steps.insert(name.to_owned(), step);
        }
    }

    pub(crate) const fn variables(&self) -> &Value {
        &self.0
    }
}

/// Events hold JSON that somebody has checked; should it not parse after all,
/// expressions see `null` and say so themselves.
fn parsed(json: &Json) -> Value {
    serde_json::from_str(json.as_str()).unwrap_or_default()
}

/// An object as the domain carries it.
pub(crate) fn object(members: Map<String, Value>) -> Json {
    Json::from_text(Value::Object(members).to_string())
}
