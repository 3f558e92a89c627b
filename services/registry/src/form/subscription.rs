use domain_kernel::Space;
use domain_registry::{Resource, Subscription, SubscriptionTarget};
use serde_json::{Value, json};

use super::check;
use super::fields::Fields;

pub(super) fn read(fields: &mut Fields<'_>) -> Resource {
    let space = check::name(fields, "space");
    let context_kind = fields.text("context_kind");
    let target = match fields.required("target") {
        Some(target) => {
            let at = fields.pointer("target");
            read_target(Fields::new(target, &at, fields.issues()))
        }
        None => SubscriptionTarget::Topic,
    };
    Resource::Subscription(Subscription {
        space: Space::new(space),
        context_kind,
        target,
    })
}

fn read_target(mut fields: Fields<'_>) -> SubscriptionTarget {
    let target = match fields.text("type").as_str() {
        "workflow" => SubscriptionTarget::Workflow {
            workflow: check::name(&mut fields, "workflow"),
        },
        "topic" => SubscriptionTarget::Topic,
        "" => SubscriptionTarget::Topic,
        _ => {
            fields.issue("type", "must be one of workflow, topic");
            fields.take("workflow");
            SubscriptionTarget::Topic
        }
    };
    fields.finish();
    target
}

pub(super) fn show(subscription: &Subscription) -> Value {
    json!({
        "space": subscription.space,
        "context_kind": subscription.context_kind,
        "target": subscription.target,
    })
}
