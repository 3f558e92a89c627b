//! The `agent:` and `effect:` blocks of a step and of what undoes it.

use domain_effect::Operation;
use domain_workflow::{AgentCall, Call, EffectCall, Expression};
use serde_json::Value;

use super::check;
use super::expression::Scope;
use super::fields::Fields;

/// What a block may leave out because something around it says so.
#[derive(Debug, Clone, Copy)]
pub(super) enum Inherited<'a> {
    Nothing,
    /// What undoes a step speaks to the same agent, or of the same record.
    From(&'a Call),
}

/// Reads the one block of the two that is there.
pub(super) fn read(
    fields: &mut Fields<'_>,
    scope: &mut Scope<'_>,
    inherited: Inherited<'_>,
) -> Call {
    match (fields.take("agent"), fields.take("effect")) {
        (Some(agent), None) => {
            let at = fields.pointer("agent");
            let block = Fields::new(agent, &at, fields.issues());
            Call::Agent(read_agent(block, scope, inherited))
        }
        (None, Some(effect)) => {
            let at = fields.pointer("effect");
            let block = Fields::new(effect, &at, fields.issues());
            Call::Effect(read_effect(block, scope, inherited))
        }
        (given, _) => {
            let detail = if given.is_some() {
                "must not be given beside effect"
            } else {
                "is required, or effect"
            };
            fields.issue("agent", detail);
            Call::Agent(AgentCall {
                id: String::new(),
                tool: String::new(),
                arguments: Default::default(),
            })
        }
    }
}

fn read_agent(
    mut fields: Fields<'_>,
    scope: &mut Scope<'_>,
    inherited: Inherited<'_>,
) -> AgentCall {
    let same = match inherited {
        Inherited::From(Call::Agent(call)) => Some(call),
        _ => None,
    };
    let id = name_or(&mut fields, "id", same.map(|call| call.id.as_str()));
    let tool = fields.text("tool");
    let arguments = scope.mapping(&mut fields, "arguments");
    fields.finish();
    AgentCall {
        id,
        tool,
        arguments,
    }
}

fn read_effect(
    mut fields: Fields<'_>,
    scope: &mut Scope<'_>,
    inherited: Inherited<'_>,
) -> EffectCall {
    let same = match inherited {
        Inherited::From(Call::Effect(call)) => Some(call),
        _ => None,
    };
    let connector = name_or(
        &mut fields,
        "connector",
        same.map(|call| call.connector.as_str()),
    );
    let operation = read_operation(&mut fields);
    let object = text_or(&mut fields, "object", same.map(|call| call.object.as_str()));
    let id_property = text_or(
        &mut fields,
        "id_property",
        same.map(|call| call.id_property.as_str()),
    );
    let external_id: Expression = match (scope.optional(&mut fields, "external_id"), same) {
        (Some(given), _) => given,
        (None, Some(call)) => call.external_id.clone(),
        (None, None) => scope.required(&mut fields, "external_id"),
    };
    let properties = scope.mapping(&mut fields, "properties");
    if operation != Operation::Archive && properties.is_empty() {
        fields.issue("properties", "must have at least one property to write");
    }
    if operation == Operation::Archive && !properties.is_empty() {
        fields.issue(
            "properties",
            "must be empty: an archived record is not written to",
        );
    }
    fields.finish();
    EffectCall {
        connector,
        operation,
        object,
        id_property,
        external_id,
        properties,
    }
}

fn read_operation(fields: &mut Fields<'_>) -> Operation {
    let text = fields.text("operation");
    match serde_json::from_value(Value::from(text.as_str())) {
        Ok(operation) => operation,
        Err(_) => {
            if !text.is_empty() {
                fields.issue(
                    "operation",
                    "must be one of create, update, upsert, archive",
                );
            }
            // Any would do: the issue keeps it from being used.
            Operation::Archive
        }
    }
}

fn text_or(fields: &mut Fields<'_>, field: &'static str, inherited: Option<&str>) -> String {
    match (fields.optional_text(field), inherited) {
        (Some(text), _) => text,
        (None, Some(inherited)) => inherited.to_owned(),
        (None, None) => fields.text(field),
    }
}

fn name_or(fields: &mut Fields<'_>, field: &'static str, inherited: Option<&str>) -> String {
    let text = text_or(fields, field, inherited);
    if !text.is_empty() && !check::is_name(&text) {
        fields.issue(field, check::NAME_RULE);
    }
    text
}
