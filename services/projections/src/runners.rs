use platform_http::Readiness;
use platform_projector::{
    Deps, PgProjection, ReadinessSink, StoreProjection, run_projection, run_store_projection,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::Error;

type Ended = (&'static str, Result<(), platform_projector::Error>);

/// One task a read model. When one cannot go on, all are drained: the process
/// is to be looked at, and started again whole.
pub(crate) struct Runners {
    deps: Deps,
    readiness: Readiness,
    shutdown: CancellationToken,
    /// Follows `shutdown`, and is cancelled alone when a runner fails.
    stop: CancellationToken,
    tasks: JoinSet<Ended>,
}

impl Runners {
    pub(crate) fn new(deps: Deps, readiness: Readiness, shutdown: CancellationToken) -> Self {
        Self {
            deps,
            readiness,
            stop: shutdown.child_token(),
            shutdown,
            tasks: JoinSet::new(),
        }
    }

    pub(crate) fn postgres<P: PgProjection>(&mut self, projection: P) {
        let deps = self.deps(P::NAME);
        let stop = self.stop.clone();
        self.tasks
            .spawn(async move { (P::NAME, run_projection(projection, deps, stop).await) });
    }

    pub(crate) fn store<P: StoreProjection>(&mut self, projection: P) {
        let deps = self.deps(P::NAME);
        let stop = self.stop.clone();
        self.tasks
            .spawn(async move { (P::NAME, run_store_projection(projection, deps, stop).await) });
    }

    fn deps(&self, name: &'static str) -> Deps {
        let component = self.readiness.component(format!("projection {name}"));
        Deps {
            readiness: ReadinessSink::new(move |state| match state {
                Ok(()) => component.ready(),
                Err(reason) => component.not_ready(reason),
            }),
            ..self.deps.clone()
        }
    }

    /// Waits for all of them, and answers with the first failure.
    pub(crate) async fn wait(mut self) -> Result<(), Error> {
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            let failure = match ended {
                Ok((_, Ok(()))) if self.stop.is_cancelled() => continue,
                Ok((name, Ok(()))) => Error::Ended { name },
                Ok((name, Err(source))) => Error::Runner { name, source },
                Err(error) => Error::Panicked(error),
            };
            self.stop.cancel();
            if outcome.is_ok() {
                outcome = Err(failure);
            }
        }
        if self.shutdown.is_cancelled() {
            info!("read models drained");
        }
        outcome
    }
}
