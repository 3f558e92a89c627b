use domain_kernel::Json;
use domain_registry::{Resource, Workflow};
use domain_workflow::{Definition, Expression, Step, Trigger};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::call::{self, Inherited};
use super::fields::{Fields, Issues};
use super::{Warnings, check, duration, expression};

const MOST_STEPS: usize = 100;
const LONGEST_NAME: usize = 63;

/// Reads `{"yaml": "…"}`. What is shown beside it is made from it anew.
pub(super) fn read(fields: &mut Fields<'_>, warnings: &mut Warnings) -> Resource {
    let yaml = fields.text("yaml");
    fields.take("definition");
    fields.take("digest");
    let definition = if yaml.is_empty() {
        None
    } else {
        let at = fields.pointer("yaml");
        parse(&yaml, &at, fields.issues())
            .map(|document| read_definition(document, fields.issues(), warnings))
    };
    let definition = definition
        .and_then(|definition| serde_json::to_string(&definition).ok())
        .unwrap_or_default();
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&definition)));
    Resource::Workflow(Workflow {
        yaml,
        definition: Json::from_text(definition),
        digest,
    })
}

/// The form of a workflow given as a YAML document.
pub(super) fn of_yaml(yaml: String) -> Value {
    json!({"yaml": yaml})
}

pub(super) fn show(workflow: &Workflow) -> Value {
    let definition: Value = serde_json::from_str(workflow.definition.as_str()).unwrap_or_default();
    json!({
        "yaml": workflow.yaml,
        "definition": definition,
        "digest": workflow.digest,
    })
}

/// The document as plain values. Duplicate keys, anchors without end and several
/// documents are refused by the parser.
fn parse(yaml: &str, at: &str, issues: &mut Issues) -> Option<Value> {
    match serde_saphyr::from_str::<Value>(yaml) {
        Ok(document) => Some(document),
        Err(error) => {
            issues.add(
                at,
                format!("is not YAML: {}", first_line(&error.to_string())),
            );
            None
        }
    }
}

/// Parsers like to quote what they did not understand; one line is enough.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Reads a workflow. Issues point into the document: `/steps/0/agent/tool`.
fn read_definition(document: Value, issues: &mut Issues, warnings: &mut Warnings) -> Definition {
    let mut fields = Fields::new(document, "", issues);
    let name = fields.text("name");
    let trigger = match fields.required("trigger") {
        Some(trigger) => {
            let at = fields.pointer("trigger");
            read_trigger(Fields::new(trigger, &at, fields.issues()))
        }
        None => Trigger {
            kind: String::new(),
            space: domain_kernel::Space::new(""),
            when: None,
        },
    };
    let items = fields.items("steps");
    if items.is_empty() {
        fields.issue("steps", "must have at least one step");
    }
    if items.len() > MOST_STEPS {
        fields.issue(
            "steps",
            format!("must not have more than {MOST_STEPS} steps"),
        );
    }
    let mut steps: Vec<Step> = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let at = fields.pointer(&format!("steps/{index}"));
        let known: Vec<String> = steps.iter().map(|step| step.name.clone()).collect();
        let scope = expression::Scope::new(&at, known, warnings);
        let step = read_step(Fields::new(item, &at, fields.issues()), scope);
        if steps.iter().any(|other| other.name == step.name) && !step.name.is_empty() {
            fields.issue(&format!("steps/{index}/name"), "is used twice");
        }
        steps.push(step);
    }
    fields.finish();
    Definition {
        name,
        trigger,
        steps,
    }
}

fn read_trigger(mut fields: Fields<'_>) -> Trigger {
    let kind = fields.text("kind");
    let space = domain_kernel::Space::new(check::name(&mut fields, "space"));
    // No step has run when the trigger is looked at.
    let when = fields
        .take("when")
        .and_then(|value| expression::compile(value, "when", &["trigger"], &mut fields));
    fields.finish();
    Trigger { kind, space, when }
}

fn read_step(mut fields: Fields<'_>, mut scope: expression::Scope<'_>) -> Step {
    let name = fields.text("name");
    if !name.is_empty() && !is_step_name(&name) {
        fields.issue(
            "name",
            "must be lowercase letters, digits and underscores and start with a letter, \
             so that expressions can say steps.<name>.output",
        );
    }
    let when: Option<Expression> = scope.optional(&mut fields, "when");
    let call = call::read(&mut fields, &mut scope, Inherited::Nothing);
    let deadline_ms = duration::read(&mut fields, "deadline");
    let compensate = fields.take("compensate").map(|value| {
        let at = fields.pointer("compensate");
        let mut compensation = Fields::new(value, &at, fields.issues());
        // What undoes a step may look at what it did.
        let mut scope = scope.within(&at, &name);
        let read = call::read(&mut compensation, &mut scope, Inherited::From(&call));
        let deadline_ms = duration::read(&mut compensation, "deadline");
        compensation.finish();
        domain_workflow::Compensation {
            call: read,
            deadline_ms,
        }
    });
    fields.finish();
    Step {
        name,
        when,
        call,
        deadline_ms,
        compensate,
    }
}

fn is_step_name(text: &str) -> bool {
    text.len() <= LONGEST_NAME
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
