use domain_kernel::{ContextId, CorrelationId, Space, TenantId};
use platform_postgres::Pool;
use projections_context_cache::{CachedContext, ContextCache, Link, Recent};
use projections_contexts as read_model;
use tracing::debug;

/// Answers from the cache, and from Postgres where the cache has none.
#[derive(Debug)]
pub(crate) struct Lookup {
    cache: ContextCache,
    pool: Pool,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) correlation_id: CorrelationId,
    pub(crate) link: Link,
    pub(crate) context: CachedContext,
}

/// One entry of a subject's history.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) context_id: ContextId,
    pub(crate) correlation_id: CorrelationId,
    pub(crate) kind: String,
    pub(crate) at: domain_kernel::Timestamp,
    pub(crate) content: serde_json::Value,
}

impl Lookup {
    pub(crate) fn new(cache: ContextCache, pool: Pool) -> Self {
        Self { cache, pool }
    }

    /// The context a delivery is part of; a merged delivery's is the one it was
    /// merged into.
    pub(crate) async fn by_correlation(
        &self,
        correlation_id: CorrelationId,
    ) -> Result<Option<Found>, read_model::Error> {
        let link = forgiving("link", self.cache.link(correlation_id).await).flatten();
        if let Some(link) = link
            && let Some(context) = self.cached(link.context_id).await
        {
            return Ok(Some(Found {
                correlation_id,
                link,
                context,
            }));
        }
        let found = read_model::by_correlation(&self.pool, correlation_id).await?;
        let Some(read_model::Found { context, merge }) = found else {
            return Ok(None);
        };
        let context = match (context, &merge) {
            (Some(context), _) => Some(cacheable(context)?),
            // The merge has been read and the context not yet, or not here.
            (None, Some(merge)) => self.cached(merge.context_id).await,
            (None, None) => None,
        };
        let Some(context) = context else {
            return Ok(None);
        };
        let link = Link {
            context_id: context.context_id,
            cosine: merge.as_ref().map(|merge| merge.cosine),
            exact: merge.is_some_and(|merge| merge.exact),
        };
        let now = platform_telemetry::now();
        let filled = self.cache.fill(correlation_id, &link, &context, now).await;
        forgiving("fill", filled);
        Ok(Some(Found {
            correlation_id,
            link,
            context,
        }))
    }

    pub(crate) async fn by_id(
        &self,
        context_id: ContextId,
    ) -> Result<Option<CachedContext>, read_model::Error> {
        if let Some(context) = self.cached(context_id).await {
            return Ok(Some(context));
        }
        let context = read_model::by_id(&self.pool, context_id).await?;
        context.map(cacheable).transpose()
    }

    /// The last `limit` contexts about a subject, newest last.
    pub(crate) async fn history(
        &self,
        tenant: &TenantId,
        space: &Space,
        subject: &str,
        limit: usize,
    ) -> Result<Vec<Entry>, read_model::Error> {
        let recent = self.cache.recent(tenant, space, subject, limit).await;
        let recent = forgiving("recent", recent).unwrap_or(Recent {
            contexts: Vec::new(),
            enough: false,
        });
        let cached: Vec<Entry> = recent.contexts.into_iter().map(entry).collect();
        if recent.enough {
            return Ok(cached);
        }
        let asked = u32::try_from(limit).unwrap_or(u32::MAX);
        let stored = read_model::history(&self.pool, tenant, space, subject, asked).await?;
        let mut entries = stored
            .into_iter()
            .rev()
            .map(|stored| {
                Ok(Entry {
                    context_id: stored.context_id,
                    correlation_id: stored.correlation,
                    kind: stored.kind,
                    at: stored.recorded_at,
                    content: serde_json::from_str(stored.content.as_str())?,
                })
            })
            .collect::<Result<Vec<_>, serde_json::Error>>()?;
        append_newer(&mut entries, cached);
        entries.drain(..entries.len().saturating_sub(limit));
        Ok(entries)
    }

    async fn cached(&self, context_id: ContextId) -> Option<CachedContext> {
        forgiving("context", self.cache.context(context_id).await).flatten()
    }
}

/// Appends what the cache knows beyond the end of what is stored: each of the
/// two may be a moment ahead of the other. Both are in the order of the log and
/// without gaps, so that what follows the last common entry is newer.
fn append_newer(stored: &mut Vec<Entry>, cached: Vec<Entry>) {
    let is_stored = |entry: &Entry| {
        stored
            .iter()
            .any(|known| known.context_id == entry.context_id)
    };
    let newer = match cached.iter().rposition(is_stored) {
        Some(last_common) => last_common + 1,
        // Nothing in common: the cache began after the last that is stored.
        None => 0,
    };
    stored.extend(cached.into_iter().skip(newer));
}

fn entry(context: CachedContext) -> Entry {
    Entry {
        context_id: context.context_id,
        correlation_id: context.correlation_id,
        kind: context.kind,
        at: context.at,
        content: context.content,
    }
}

fn cacheable(context: read_model::Context) -> Result<CachedContext, read_model::Error> {
    Ok(CachedContext {
        context_id: context.context_id,
        tenant: context.tenant,
        space: context.space,
        kind: context.kind,
        subject: context.subject,
        source_id: context.source_id,
        delivery: context.delivery,
        correlation_id: context.correlation,
        at: context.recorded_at,
        content: serde_json::from_str(context.content.as_str())?,
        content_sha256: context.content_sha256,
    })
}

/// The cache failing is no reason to fail.
fn forgiving<T>(
    what: &'static str,
    answer: Result<T, projections_context_cache::Error>,
) -> Option<T> {
    answer
        .inspect_err(|error| debug!(cache.question = what, %error, "cache did not answer"))
        .ok()
}

#[cfg(test)]
mod tests {
    use domain_kernel::Timestamp;
    use serde_json::Value;

    use super::*;

    fn entries(names: &str) -> Vec<Entry> {
        names
            .chars()
            .map(|name| Entry {
                context_id: ContextId::derive(&[&name.to_string()]),
                correlation_id: CorrelationId::derive(&[&name.to_string()]),
                kind: "ticket".to_owned(),
                at: Timestamp::from_millis(1),
                content: Value::from(name.to_string()),
            })
            .collect()
    }

    fn joined(stored: &str, cached: &str) -> String {
        let mut stored = entries(stored);
        append_newer(&mut stored, entries(cached));
        stored
            .iter()
            .filter_map(|entry| entry.content.as_str())
            .collect()
    }

    #[test]
    fn what_either_knows_is_in_the_history_once_and_in_order() {
        assert_eq!(joined("abc", "bc"), "abc");
        assert_eq!(joined("abc", "bcd"), "abcd");
        assert_eq!(joined("abc", "abcde"), "abcde");
        assert_eq!(joined("abcd", "bc"), "abcd");
        assert_eq!(joined("ab", "cd"), "abcd");
        assert_eq!(joined("", "ab"), "ab");
        assert_eq!(joined("ab", ""), "ab");
        // Postgres was asked for the last two; the cache has older ones too.
        assert_eq!(joined("cd", "abcd"), "cd");
    }
}
