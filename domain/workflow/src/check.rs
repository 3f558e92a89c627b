//! What must hold for a definition before it can be run. Whether its
//! expressions compile is checked by whoever can compile them: see
//! [`Definition::expressions`].

use std::collections::BTreeSet;

use crate::definition::{Call, Definition, Expression};
use crate::error::DefinitionError;

/// Steps a workflow may have.
pub const MAX_STEPS: usize = 64;

/// The longest a step may take: 30 days, in milliseconds.
pub const MAX_DEADLINE_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

impl Definition {
    /// Checks the shape.
    ///
    /// # Errors
    /// The first thing that is wrong, and where it is.
    pub fn check(&self) -> Result<(), DefinitionError> {
        not_empty("name", &self.name)?;
        not_empty("trigger.kind", &self.trigger.kind)?;
        not_empty("trigger.space", self.trigger.space.as_str())?;
        if self.steps.is_empty() || self.steps.len() > MAX_STEPS {
            return Err(DefinitionError::StepCount {
                limit: MAX_STEPS,
                found: self.steps.len(),
            });
        }
        let mut names = BTreeSet::new();
        for step in &self.steps {
            if !is_step_name(&step.name) {
                return Err(DefinitionError::StepName {
                    name: step.name.clone(),
                });
            }
            if !names.insert(step.name.as_str()) {
                return Err(DefinitionError::DuplicateStep {
                    name: step.name.clone(),
                });
            }
            let at = format!("steps.{}", step.name);
            check_deadline(&at, step.deadline_ms)?;
            check_call(&at, &step.call)?;
            if let Some(compensation) = &step.compensate {
                let at = format!("{at}.compensate");
                check_deadline(&at, compensation.deadline_ms)?;
                check_call(&at, &compensation.call)?;
            }
        }
        Ok(())
    }

    /// Every expression with the place it stands at, such as
    /// `steps.crm.effect.properties.subject`.
    pub fn expressions(&self) -> Vec<(String, &Expression)> {
        let mut found = Vec::new();
        if let Some(when) = &self.trigger.when {
            found.push(("trigger.when".to_owned(), when));
        }
        for step in &self.steps {
            let at = format!("steps.{}", step.name);
            if let Some(when) = &step.when {
                found.push((format!("{at}.when"), when));
            }
            call_expressions(&at, &step.call, &mut found);
            if let Some(compensation) = &step.compensate {
                call_expressions(&format!("{at}.compensate"), &compensation.call, &mut found);
            }
        }
        found
    }
}

fn call_expressions<'a>(at: &str, call: &'a Call, found: &mut Vec<(String, &'a Expression)>) {
    match call {
        Call::Agent(agent) => {
            for (name, expression) in &agent.arguments {
                found.push((format!("{at}.agent.arguments.{name}"), expression));
            }
        }
        Call::Effect(effect) => {
            found.push((format!("{at}.effect.external_id"), &effect.external_id));
            for (name, expression) in &effect.properties {
                found.push((format!("{at}.effect.properties.{name}"), expression));
            }
        }
    }
}

fn check_call(at: &str, call: &Call) -> Result<(), DefinitionError> {
    match call {
        Call::Agent(agent) => {
            not_empty(&format!("{at}.agent.id"), &agent.id)?;
            not_empty(&format!("{at}.agent.tool"), &agent.tool)
        }
        Call::Effect(effect) => {
            not_empty(&format!("{at}.effect.connector"), &effect.connector)?;
            not_empty(&format!("{at}.effect.object"), &effect.object)?;
            not_empty(&format!("{at}.effect.id_property"), &effect.id_property)
        }
    }
}

fn check_deadline(at: &str, found: u64) -> Result<(), DefinitionError> {
    if (1..=MAX_DEADLINE_MS).contains(&found) {
        return Ok(());
    }
    Err(DefinitionError::Deadline {
        at: format!("{at}.deadline_ms"),
        found,
        limit: MAX_DEADLINE_MS,
    })
}

fn not_empty(at: &str, value: &str) -> Result<(), DefinitionError> {
    if value.trim().is_empty() {
        return Err(DefinitionError::Empty { at: at.to_owned() });
    }
    Ok(())
}

fn is_step_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
}
