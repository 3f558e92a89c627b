use super::{Digest, Digested};
use crate::{Error, StoreProjection};

/// How often a store is read again because it was written to meanwhile.
const ATTEMPTS: usize = 5;

/// The digest of what the store holds.
///
/// # Errors
/// When the store does not answer.
pub async fn store_digest<P: StoreProjection>(projection: &P) -> Result<Digest, Error> {
    let entries = projection.entries().await.map_err(|source| Error::Digest {
        name: P::NAME,
        source,
    })?;
    Ok(Digest::of(entries.iter().map(String::as_str)))
}

/// The digest of a store by partition, with the offsets it is of. A store that
/// has no snapshots is read again until its offsets stood still meanwhile, a few
/// times; see [`Digested::settled`].
///
/// # Errors
/// When the store does not answer.
pub async fn store_digest_of<P: StoreProjection>(
    projection: &P,
    partitions: u32,
) -> Result<Digested, Error> {
    let mut attempt = 1;
    loop {
        let content = projection
            .content(partitions)
            .await
            .map_err(|source| Error::Digest {
                name: P::NAME,
                source,
            })?;
        if !content.settled && attempt < ATTEMPTS {
            attempt += 1;
            continue;
        }
        let mut digested = Digested {
            settled: content.settled,
            ..Digested::default()
        };
        for (partition, offsets) in content.offsets {
            for (topic, next) in offsets {
                let known = digested.offsets.entry(topic).or_default();
                known.insert(partition, next);
            }
        }
        for (partition, entry) in &content.entries {
            digested.add(*partition, entry);
        }
        return Ok(digested);
    }
}
