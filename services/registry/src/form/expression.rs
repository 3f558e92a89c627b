//! CEL expressions of a workflow: compiled here, so that a run never meets one
//! that does not compile, and looked at for names that mean nothing.

use std::collections::BTreeMap;

use domain_workflow::Expression;
use serde_json::Value;

use super::fields::{Fields, kind_of};
use super::{Warning, Warnings};

/// What an expression in a step sees.
const VARIABLES: &[&str] = &["trigger", "steps", "workflow"];

/// The surroundings of an expression: the steps that have run before it.
pub(super) struct Scope<'a> {
    at: String,
    before: Vec<String>,
    warnings: &'a mut Warnings,
}

impl<'a> Scope<'a> {
    pub(super) fn new(at: &str, before: Vec<String>, warnings: &'a mut Warnings) -> Self {
        Self {
            at: at.to_owned(),
            before,
            warnings,
        }
    }

    /// The scope of what undoes `step`, which sees what the step did.
    pub(super) fn within(&mut self, at: &str, step: &str) -> Scope<'_> {
        let mut before = self.before.clone();
        before.push(step.to_owned());
        Scope {
            at: at.to_owned(),
            before,
            warnings: self.warnings,
        }
    }

    pub(super) fn required(&mut self, fields: &mut Fields<'_>, name: &'static str) -> Expression {
        let value = fields.required(name);
        value
            .and_then(|value| self.compile(value, name, fields))
            .unwrap_or(Expression(String::new()))
    }

    pub(super) fn optional(
        &mut self,
        fields: &mut Fields<'_>,
        name: &'static str,
    ) -> Option<Expression> {
        let value = fields.take(name)?;
        self.compile(value, name, fields)
    }

    /// An object whose values are expressions.
    pub(super) fn mapping(
        &mut self,
        fields: &mut Fields<'_>,
        name: &'static str,
    ) -> BTreeMap<String, Expression> {
        fields
            .members(name)
            .into_iter()
            .filter_map(|(key, value)| {
                let place = format!("{name}/{}", key.replace('~', "~0").replace('/', "~1"));
                Some((key, self.compile(value, &place, fields)?))
            })
            .collect()
    }

    fn compile(
        &mut self,
        value: Value,
        place: &str,
        fields: &mut Fields<'_>,
    ) -> Option<Expression> {
        let expression = compile(value, place, VARIABLES, fields)?;
        for step in steps_named_in(&expression.0) {
            if !self.before.contains(&step) {
                self.warnings.push(Warning {
                    pointer: fields.pointer(place),
                    detail: format!("step {step} has not run when {} is evaluated", self.at),
                });
            }
        }
        Some(expression)
    }
}

/// Compiles the expression at `place` and checks that it uses nothing but
/// `variables`. A number or a boolean stands for itself.
pub(super) fn compile(
    value: Value,
    place: &str,
    variables: &[&str],
    fields: &mut Fields<'_>,
) -> Option<Expression> {
    let source = match value {
        Value::String(source) => source,
        Value::Number(number) => number.to_string(),
        Value::Bool(boolean) => boolean.to_string(),
        other => {
            let detail = format!("must be a CEL expression, not {}", kind_of(&other));
            fields.issue(place, detail);
            return None;
        }
    };
    match platform_cel::Expression::compile(&source) {
        Ok(compiled) => {
            let unknown = compiled
                .variables()
                .into_iter()
                .find(|name| !variables.contains(&name.as_str()) && !is_bound_in(&source, name));
            if let Some(name) = unknown {
                let detail = format!(
                    "uses {name}, which is not known here; known are: {}",
                    variables.join(", ")
                );
                fields.issue(place, detail);
            }
        }
        Err(error) => fields.issue(place, format!("is not a CEL expression: {error}")),
    }
    Some(Expression(source))
}

/// Whether `name` is the variable of a comprehension: `items.exists(item, …)`.
fn is_bound_in(source: &str, name: &str) -> bool {
    let dense: String = source.chars().filter(|c| !c.is_whitespace()).collect();
    dense.contains(&format!("({name},"))
}

/// The names after `steps.` in the text of an expression. Good enough for a
/// warning: a string literal may contain the same characters.
fn steps_named_in(source: &str) -> Vec<String> {
    source
        .match_indices("steps.")
        .filter(|(at, _)| {
            let before = source[..*at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.')
        })
        .map(|(at, prefix)| {
            source[at + prefix.len()..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect::<String>()
        })
        .filter(|name| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{is_bound_in, steps_named_in};

    #[test]
    fn variables_of_comprehensions_are_known() {
        assert!(is_bound_in(
            "trigger.content.items.exists( item , item.n > 1)",
            "item"
        ));
        assert!(!is_bound_in("item.n > 1", "item"));
    }

    #[test]
    fn steps_are_found_where_they_are_meant() {
        assert_eq!(
            steps_named_in("steps.triage.output.reply + steps.crm_2.output.id"),
            ["triage", "crm_2"]
        );
        assert!(steps_named_in("trigger.content.steps.one + mysteps.two").is_empty());
    }
}
