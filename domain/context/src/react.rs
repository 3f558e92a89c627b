use domain_kernel::{NotificationId, Recorded};

use crate::{ContextEvent, NotificationEvent, SubscriberNotified};

/// A shared context is announced to each subscriber once. A merged delivery is
/// not: whoever needed to know already does.
pub(crate) fn react(recorded: &Recorded<ContextEvent>) -> Vec<NotificationEvent> {
    match &recorded.event {
        ContextEvent::Merged(_) => Vec::new(),
        ContextEvent::Shared(shared) => shared
            .subscribers
            .iter()
            .map(|subscriber| {
                NotificationEvent::Notified(SubscriberNotified {
                    notification_id: NotificationId::derive(&[
                        &shared.context_id.to_string(),
                        subscriber,
                    ]),
                    subscriber: subscriber.clone(),
                    context_id: shared.context_id,
                    space: shared.space.clone(),
                    kind: shared.kind.clone(),
                    subject: shared.subject.clone(),
                    content: shared.content.clone(),
                })
            })
            .collect(),
    }
}
