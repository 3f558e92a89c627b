use std::sync::Arc;

use platform_config::Settings;
use platform_log::Producer;
use platform_postgres::Pool;

type Report = dyn Fn(Result<(), &str>) + Send + Sync;

/// Where a runner says whether it is at work: `Ok` once it owns what it was
/// assigned, `Err` with a reason while it waits for something.
///
/// ```ignore
/// let component = readiness.component("projection deliveries");
/// ReadinessSink::new(move |state| match state {
///     Ok(()) => component.ready(),
///     Err(reason) => component.not_ready(reason),
/// })
/// ```
#[derive(Clone)]
pub struct ReadinessSink(Arc<Report>);

impl ReadinessSink {
    pub fn new(report: impl Fn(Result<(), &str>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }

    /// For whoever does not care.
    pub fn none() -> Self {
        Self::new(|_| ())
    }

    pub(crate) fn ready(&self) {
        (self.0)(Ok(()));
    }

    pub(crate) fn not_ready(&self, reason: &str) {
        (self.0)(Err(reason));
    }
}

impl std::fmt::Debug for ReadinessSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadinessSink")
    }
}

/// What every runner needs.
#[derive(Debug, Clone)]
pub struct Deps {
    pub settings: Arc<Settings>,
    pub pool: Pool,
    /// Appends dead letters, and the events, requests and answers of deciders and executors.
    pub producer: Producer,
    pub readiness: ReadinessSink,
}
