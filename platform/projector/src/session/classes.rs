use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use platform_log::Admin;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::join::group;
use super::run::{FIRST_WAIT, LONGEST_WAIT};
use crate::error::chain;
use crate::{Deps, Error, ReadinessSink};

/// Topics with the same number of partitions, which one group can read.
#[derive(Debug)]
pub(crate) struct Class {
    pub(crate) group: String,
    pub(crate) topics: Vec<&'static str>,
    pub(crate) readiness: ReadinessSink,
}

/// Sorts the topics of a projection by their number of partitions: in one group
/// whoever owns partition *n* owns it of all topics, so that topics of another
/// width (the registry's has one) need a group of their own. Waits for the
/// topics; none on shutdown.
pub(crate) async fn classes(
    name: &'static str,
    topics: &[&'static str],
    deps: &Deps,
    shutdown: &CancellationToken,
) -> Result<Option<Vec<Class>>, Error> {
    let admin = Admin::new(&deps.settings.kafka)?;
    let mut wait = FIRST_WAIT;
    let by_width = loop {
        match by_width(topics, &admin).await {
            Ok(by_width) => break by_width,
            Err(error) => {
                warn!(runner.name = name, error = %chain(&error), "topics are not to be had yet");
                deps.readiness.not_ready("waiting for the topics");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    };
    let sinks = split(&deps.readiness, by_width.len());
    let classes = by_width
        .into_iter()
        .rev()
        .zip(sinks)
        .enumerate()
        .map(|(index, ((width, topics), readiness))| Class {
            group: match index {
                0 => group(name),
                _ => format!("{}.{width}", group(name)),
            },
            topics,
            readiness,
        })
        .collect();
    Ok(Some(classes))
}

async fn by_width(
    topics: &[&'static str],
    admin: &Admin,
) -> Result<BTreeMap<u32, Vec<&'static str>>, platform_log::Error> {
    let mut by_width: BTreeMap<u32, Vec<&'static str>> = BTreeMap::new();
    for topic in topics {
        let width = admin.partition_count(topic).await?;
        by_width.entry(width).or_default().push(topic);
    }
    Ok(by_width)
}

/// Several sinks in front of one, which is ready when all of them are.
fn split(sink: &ReadinessSink, parts: usize) -> Vec<ReadinessSink> {
    let reasons: Vec<Option<String>> = vec![Some("starting".to_owned()); parts];
    let state = Arc::new(Mutex::new(reasons));
    (0..parts)
        .map(|part| {
            let state = Arc::clone(&state);
            let sink = sink.clone();
            ReadinessSink::new(move |report| {
                let mut reasons = state.lock().unwrap_or_else(PoisonError::into_inner);
                reasons[part] = report.err().map(str::to_owned);
                match reasons.iter().flatten().next() {
                    None => sink.ready(),
                    Some(reason) => sink.not_ready(reason),
                }
            })
        })
        .collect()
}
