//! Resources as operators write and read them: plain JSON, or YAML for
//! workflows, or Rego text for policies. Reading is strict and pure: it finds
//! all that is wrong in one pass and names the field each time.

mod agent;
mod call;
mod certificate;
mod check;
mod connector;
mod duration;
mod expression;
mod fields;
mod issuer;
mod key;
mod policy;
mod scopes;
mod secret;
mod source;
mod subscription;
#[cfg(test)]
mod tests;
mod workflow;

use domain_registry::{Resource, ResourceKind};
use serde_json::Value;

pub(crate) use check::{NAME_RULE, is_name};
use fields::Fields;
pub(crate) use fields::Issues;
pub(crate) use secret::ClearSecrets;

/// Something that is allowed and probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    pub pointer: String,
    pub detail: String,
}

pub(crate) type Warnings = Vec<Warning>;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    Yaml,
    Text,
}

/// A resource as read, its secrets beside it and not sealed yet.
pub(crate) struct Draft {
    pub resource: Resource,
    pub clear: ClearSecrets,
    pub warnings: Warnings,
}

/// Reads the body of a definition of `kind`.
pub(crate) fn read(kind: ResourceKind, media: Media, body: &[u8]) -> Result<Draft, Issues> {
    let mut issues = Issues::default();
    let Some(value) = value_of(kind, media, body, &mut issues) else {
        return Err(issues);
    };
    let mut clear = ClearSecrets::new();
    let mut warnings = Warnings::new();
    let mut fields = Fields::new(value, "", &mut issues);
    let resource = match kind {
        ResourceKind::Source => source::read(&mut fields, &mut clear),
        ResourceKind::Agent => agent::read(&mut fields),
        ResourceKind::Policy => policy::read(&mut fields),
        ResourceKind::Subscription => subscription::read(&mut fields),
        ResourceKind::Workflow => workflow::read(&mut fields, &mut warnings),
        ResourceKind::Connector => connector::read(&mut fields, &mut clear),
        ResourceKind::Key => key::read(&mut fields),
        ResourceKind::Issuer => issuer::read(&mut fields),
        ResourceKind::Certificate => certificate::read(&mut fields),
    };
    fields.finish();
    if issues.is_empty() {
        Ok(Draft {
            resource,
            clear,
            warnings,
        })
    } else {
        Err(issues)
    }
}

/// A resource as shown; secrets only by id and window.
pub(crate) fn show(resource: &Resource) -> Value {
    match resource {
        Resource::Source(source) => source::show(source),
        Resource::Agent(agent) => agent::show(agent),
        Resource::Policy(policy) => policy::show(policy),
        Resource::Subscription(subscription) => subscription::show(subscription),
        Resource::Workflow(workflow) => workflow::show(workflow),
        Resource::Connector(connector) => connector::show(connector),
        Resource::Key(key) => key::show(key),
        Resource::Issuer(issuer) => issuer::show(issuer),
        Resource::Certificate(certificate) => certificate::show(certificate),
    }
}

fn value_of(kind: ResourceKind, media: Media, body: &[u8], issues: &mut Issues) -> Option<Value> {
    if media == Media::Json {
        return match serde_json::from_slice(body) {
            Ok(value) => Some(value),
            Err(error) => {
                // Line and column only: the body may hold a secret.
                let place = format!("line {}, column {}", error.line(), error.column());
                issues.add("", format!("is not JSON at {place}"));
                None
            }
        };
    }
    let Ok(text) = std::str::from_utf8(body) else {
        issues.add("", "is not UTF-8");
        return None;
    };
    match kind {
        ResourceKind::Workflow => Some(workflow::of_yaml(text.to_owned())),
        _ => Some(policy::of_text(text.to_owned())),
    }
}
