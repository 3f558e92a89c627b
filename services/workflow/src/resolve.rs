//! Evaluates a definition's expressions: which step is next, and what exactly
//! is asked of whom.

use std::collections::BTreeMap;

use domain_kernel::Json;
use domain_workflow::{
    Call, Definition, Expression, Next, Plan, PlannedCompensation, ResolvedCall, Step, Then,
};
use serde_json::{Map, Value};

use crate::conditions::Expressions;
use crate::scope::{Scope, object};

#[derive(Debug, Default)]
pub(crate) struct Resolver {
    expressions: Expressions,
}

impl Resolver {
    /// Whether the trigger's condition holds.
    pub(crate) fn is_triggered(
        &self,
        definition: &Definition,
        scope: &Scope,
    ) -> Result<bool, String> {
        match &definition.trigger.when {
            None => Ok(true),
            Some(when) => self.condition("the condition of the trigger", when, scope),
        }
    }

    /// The first of `steps` whose condition holds, with its call resolved.
    /// Skipped steps are in scope for those that come after them.
    pub(crate) fn next(&self, steps: &[Step], mut scope: Scope) -> Next {
        let mut skipped = Vec::new();
        for step in steps {
            let wanted = match &step.when {
                None => Ok(true),
                Some(when) => self.condition("its condition", when, &scope),
            };
            let call = match wanted {
                Ok(true) => self.call(&step.call, &scope),
                Ok(false) => {
                    scope.add_step(&step.name, Value::Null, true);
                    skipped.push(step.name.clone());
                    continue;
                }
                Err(reason) => Err(reason),
            };
            let step = step.name.clone();
            let then = match call {
                Ok(call) => Then::Start { step, call },
                Err(reason) => Then::Broken { step, reason },
            };
            return Next { skipped, then };
        }
        Next {
            skipped,
            then: Then::End,
        }
    }

    /// What undoes `step`, resolved while its output is at hand.
    pub(crate) fn plan(&self, step: &Step, scope: &Scope) -> Plan {
        let Some(compensation) = &step.compensate else {
            return Plan::Nothing;
        };
        match self.call(&compensation.call, scope) {
            Ok(call) => Plan::Resolved(PlannedCompensation {
                call,
                deadline_ms: compensation.deadline_ms,
            }),
            Err(reason) => Plan::Broken { reason },
        }
    }

    fn call(&self, call: &Call, scope: &Scope) -> Result<ResolvedCall, String> {
        match call {
            Call::Agent(agent) => Ok(ResolvedCall::Agent {
                agent_id: agent.id.clone(),
                tool: agent.tool.clone(),
                arguments: self.object(&agent.arguments, scope)?,
            }),
            Call::Effect(effect) => Ok(ResolvedCall::Effect {
                connector_id: effect.connector.clone(),
                operation: effect.operation,
                object: effect.object.clone(),
                id_property: effect.id_property.clone(),
                external_id: self.external_id(&effect.external_id, scope)?,
                properties: self.object(&effect.properties, scope)?,
            }),
        }
    }

    fn object(
        &self,
        mappings: &BTreeMap<String, Expression>,
        scope: &Scope,
    ) -> Result<Json, String> {
        let mut members = Map::new();
        for (name, expression) in mappings {
            members.insert(name.clone(), self.value(name, expression, scope)?);
        }
        Ok(object(members))
    }

    /// Text, or a whole number as text: what a record is addressed by must never
    /// be empty, or every run would write the same record.
    fn external_id(&self, expression: &Expression, scope: &Scope) -> Result<String, String> {
        match self.value("external_id", expression, scope)? {
            Value::String(id) if !id.trim().is_empty() => Ok(id),
            Value::Number(id) if id.is_i64() || id.is_u64() => Ok(id.to_string()),
            _ => Err("external_id: it is neither a text nor a whole number".to_owned()),
        }
    }

    fn condition(
        &self,
        what: &str,
        expression: &Expression,
        scope: &Scope,
    ) -> Result<bool, String> {
        self.expressions
            .get(expression)
            .and_then(|compiled| compiled.evaluate_bool(scope.variables()))
            .map_err(|error| format!("{what}: {error}"))
    }

    fn value(&self, name: &str, expression: &Expression, scope: &Scope) -> Result<Value, String> {
        self.expressions
            .get(expression)
            .and_then(|compiled| compiled.evaluate(scope.variables()))
            .map_err(|error| format!("{name}: {error}"))
    }
}

/// The steps that come after the one named `name`.
pub(crate) fn after<'a>(definition: &'a Definition, name: &str) -> &'a [Step] {
    let position = definition.steps.iter().position(|step| step.name == name);
    position
        .and_then(|position| definition.steps.get(position + 1..))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
