use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::load::ticket;
use crate::{Delivery, Fault, Scene};

/// Not a fault of the mesh: a loss and a duplicate that are made on purpose, on
/// the same stand and in the same run, so that a run in which the oracle is
/// blind does not pass for a good one.
pub(super) const LOST_AND_TWICE: Fault =
    Fault::new("P", "planted: one lost, one twice", lost_and_twice).expecting(1, 1);

fn lost_and_twice<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let sender = scene.stand.sender()?;
        let observer = scene.stand.observer().await?;
        // Handled to its end, and then written to the record again.
        let key = format!("{}-twice", scene.name);
        let word = scene.dice().word(10);
        let mut twice = Delivery::new(ticket(&key, 0, &word), &key, 0);
        let answer = sender.deliver(&twice.ticket).await;
        twice.note(&answer);
        let correlation = twice.ticket.correlation();
        observer.recorded(correlation, "WorkflowSucceeded").await?;
        let crm = scene.stand.mesh.crm()?;
        crm.write(&key, &[("subject", &twice.ticket.subject)])
            .await?;
        // Its sender thinks that it was acknowledged, and nobody has it.
        let key = format!("{}-lost", scene.name);
        let word = scene.dice().word(10);
        let mut lost = Delivery::new(ticket(&key, 0, &word), &key, 0);
        lost.acknowledged = Some(Vec::new());
        scene.judge_too([twice]);
        scene.never_to_be_applied(lost);
        scene.note("found, as it must be");
        Ok(())
    }
    .boxed()
}
