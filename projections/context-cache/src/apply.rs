use std::collections::HashMap;

use domain_kernel::Timestamp;
use platform_log::partition_of;
use platform_redis::{Redis, Script};

use crate::place::{POINTER, Resolved};
use crate::project::{context_key, history_key, link_key};
use crate::{CachedContext, Change, Error, LISTED, Link, TOPIC, TTL};

/// What the names of the cache's keys start with.
const KINDS: [&str; 3] = ["context:", "correlation:", "history:"];
const POSITION: &str = "context-cache:position:";

/// Changes written at once: few enough for the deadline of a call.
const CHUNK: usize = 500;

/// Reads a partition's offsets; puts a mark there when there are none, by which
/// a later flush is noticed.
const CLAIM_POSITION: Script = Script::new(
    "redis.call('HSETNX', KEYS[1], 'generation', '0') \
     return redis.call('HGETALL', KEYS[1])",
);

/// The same for who only looks, and must not hide a flush by such a mark.
const READ_POSITION: Script = Script::new("return redis.call('HGETALL', KEYS[1])");

/// Writes a batch and its offsets, all or nothing.
///
/// `KEYS`: the offsets, the pointer to the live cache, then what is written.
/// `ARGV`: generation, whether the offsets must be there, the live cache as it
/// was known, number of offsets, then topic and offset of each, then operations.
/// `S`: set key number, value, milliseconds. `L`: list under key number, order,
/// member, how many are kept, milliseconds.
const WRITE: Script = Script::new(
    "local seen = redis.call('HGET', KEYS[1], 'generation') \
     if not seen and ARGV[2] == '1' then return {-1, 0} end \
     if seen and tonumber(seen) > tonumber(ARGV[1]) then return {-2, tonumber(seen)} end \
     if (redis.call('GET', KEYS[2]) or '0') ~= ARGV[3] then return {-3, 0} end \
     local at = 5 \
     redis.call('HSET', KEYS[1], 'generation', ARGV[1]) \
     for _ = 1, tonumber(ARGV[4]) do \
       redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) \
       at = at + 2 \
     end \
     while at <= #ARGV do \
       local key = KEYS[tonumber(ARGV[at + 1])] \
       if ARGV[at] == 'S' then \
         redis.call('SET', key, ARGV[at + 2], 'PX', ARGV[at + 3]) \
         at = at + 4 \
       else \
         redis.call('ZADD', key, 'NX', ARGV[at + 2], ARGV[at + 3]) \
         redis.call('ZREMRANGEBYRANK', key, 0, -1 - tonumber(ARGV[at + 4])) \
         if redis.call('PTTL', key) < tonumber(ARGV[at + 5]) then \
           redis.call('PEXPIRE', key, ARGV[at + 5]) \
         end \
         at = at + 6 \
       end \
     end \
     return {0, 0}",
);

/// Where the offsets of a partition are kept.
pub(crate) fn position_key(start: &str, partition: i32) -> String {
    format!("{start}{POSITION}{partition}")
}

/// `claim` says that whoever asks is going to write from there on.
pub(crate) async fn positions(
    redis: &Redis,
    place: &Resolved,
    partition: i32,
    claim: bool,
) -> Result<Vec<(String, i64)>, Error> {
    let key = [position_key(&place.start, partition)];
    let script = if claim {
        &CLAIM_POSITION
    } else {
        &READ_POSITION
    };
    let fields: Vec<String> = redis.eval(script, &key, Vec::new()).await?;
    let offset = fields
        .as_chunks::<2>()
        .0
        .iter()
        .find(|[name, _]| name == TOPIC)
        .and_then(|[_, offset]| offset.parse().ok())
        .unwrap_or(0);
    Ok(vec![(TOPIC.to_owned(), offset)])
}

/// Who writes into a partition, and where.
pub(crate) struct Writer<'a> {
    pub(crate) place: &'a Resolved,
    pub(crate) partition: i32,
    pub(crate) generation: i64,
    /// Whether its offsets were read, so that they must be there.
    pub(crate) claimed: bool,
}

pub(crate) async fn apply(
    redis: &Redis,
    writer: &Writer<'_>,
    changes: &[Change],
    upto: &[(String, i64)],
    now: Timestamp,
) -> Result<(), Error> {
    let Writer {
        place,
        partition,
        generation,
        claimed,
    } = *writer;
    let mut chunks = changes.chunks(CHUNK).peekable();
    loop {
        let chunk = chunks.next().unwrap_or_default();
        // The offsets go with the last ones: what is written again does no harm.
        let upto = if chunks.peek().is_none() { upto } else { &[] };
        let mut keys = vec![position_key(&place.start, partition), POINTER.to_owned()];
        let mut arguments = vec![
            generation.to_string().into_bytes(),
            if claimed {
                b"1".to_vec()
            } else {
                b"0".to_vec()
            },
            place.live.to_string().into_bytes(),
            upto.len().to_string().into_bytes(),
        ];
        for (topic, offset) in upto {
            arguments.push(topic.clone().into_bytes());
            arguments.push(offset.to_string().into_bytes());
        }
        for change in chunk {
            operations(change, &place.start, now, &mut keys, &mut arguments)?;
        }
        let (code, seen): (i64, i64) = redis.eval(&WRITE, &keys, arguments).await?;
        match code {
            0 if chunks.peek().is_none() => return Ok(()),
            0 => {}
            -1 => return Err(Error::Flushed { partition }),
            -3 => return Err(Error::Replaced),
            _ => return Err(Error::Fenced { partition, seen }),
        }
    }
}

fn operations(
    change: &Change,
    start: &str,
    now: Timestamp,
    keys: &mut Vec<String>,
    arguments: &mut Vec<Vec<u8>>,
) -> Result<(), Error> {
    let mut set = |key: String, value: Vec<u8>, ttl: i64| {
        keys.push(format!("{start}{key}"));
        let number = keys.len().to_string();
        arguments.extend([
            b"S".to_vec(),
            number.into_bytes(),
            value,
            ttl.to_string().into_bytes(),
        ]);
    };
    match change {
        Change::Share {
            context,
            link,
            order,
        } => {
            let Some(ttl) = remaining(context.at, now) else {
                return Ok(());
            };
            set(
                context_key(context.context_id),
                serde_json::to_vec(context)?,
                ttl,
            );
            set(
                link_key(context.correlation_id),
                serde_json::to_vec(link)?,
                ttl,
            );
            let history = history_key(&context.tenant, &context.space, &context.subject);
            keys.push(format!("{start}{history}"));
            arguments.extend([
                b"L".to_vec(),
                keys.len().to_string().into_bytes(),
                order.to_string().into_bytes(),
                context.context_id.to_string().into_bytes(),
                LISTED.to_string().into_bytes(),
                ttl.to_string().into_bytes(),
            ]);
        }
        Change::Merge {
            correlation_id,
            link,
            at,
        } => {
            if let Some(ttl) = remaining(*at, now) {
                set(link_key(*correlation_id), serde_json::to_vec(link)?, ttl);
            }
        }
    }
    Ok(())
}

/// Milliseconds for which something shared `at` is still kept; none when it is
/// too old. Counted from the event, so that a rebuild does not make it young.
pub(crate) fn remaining(at: Timestamp, now: Timestamp) -> Option<i64> {
    let ttl = i64::try_from(TTL.as_millis()).unwrap_or(i64::MAX);
    let left = ttl.saturating_sub(now.as_millis().saturating_sub(at.as_millis()));
    // An event of the future, by a clock that is wrong, is kept no longer than others.
    (left > 0).then_some(left.min(ttl))
}

/// Forgets the cache whose keys start with `start`.
pub(crate) async fn clear(redis: &Redis, start: &str) -> Result<(), Error> {
    for kind in KINDS.into_iter().chain([POSITION]) {
        for names in redis.scan(&format!("{start}{kind}")).await?.chunks(500) {
            redis.delete(names).await?;
        }
    }
    Ok(())
}

/// Each key with its value, without its time to live, and its partition: that of
/// the context it is or names.
pub(crate) async fn entries(
    redis: &Redis,
    place: &Resolved,
    partitions: u32,
) -> Result<Vec<(Option<i32>, String)>, Error> {
    let start = place.start.as_str();
    let mut lines = Vec::new();
    let mut places: HashMap<String, i32> = HashMap::new();
    for kind in ["context:", "correlation:"] {
        for names in redis.scan(&format!("{start}{kind}")).await?.chunks(500) {
            let values = redis.get_many(names).await?;
            for (name, value) in names.iter().zip(values) {
                // What has expired since is not there.
                let Some(value) = value else { continue };
                let partition = if kind == "context:" {
                    let partition = partition_of_context(&value, partitions);
                    if let Some((id, partition)) = &partition {
                        places.insert(id.clone(), *partition);
                    }
                    partition.map(|(_, partition)| partition)
                } else {
                    serde_json::from_slice::<Link>(&value)
                        .ok()
                        .and_then(|link| places.get(&link.context_id.to_string()).copied())
                };
                let name = name.strip_prefix(start).unwrap_or(name);
                lines.push((
                    partition,
                    format!("{name} {}", String::from_utf8_lossy(&value)),
                ));
            }
        }
    }
    for name in redis.scan(&format!("{start}history:")).await? {
        for member in redis.sorted_last(&name, LISTED as usize).await? {
            let member = String::from_utf8_lossy(&member).into_owned();
            let name = name.strip_prefix(start).unwrap_or(&name);
            lines.push((places.get(&member).copied(), format!("{name} {member}")));
        }
    }
    Ok(lines)
}

fn partition_of_context(value: &[u8], partitions: u32) -> Option<(String, i32)> {
    let context: CachedContext = serde_json::from_slice(value).ok()?;
    // The key of its records on the log.
    let key = format!("{}/{}", context.tenant, context.space);
    let partition = partition_of(key.as_bytes(), partitions);
    (partitions > 0).then(|| (context.context_id.to_string(), partition))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_grows_old_from_when_it_was_shared() {
        let at = Timestamp::from_millis(1_000_000_000);
        let day = 24 * 60 * 60 * 1_000;
        assert_eq!(remaining(at, at), Some(day));
        assert_eq!(remaining(at, at.plus_millis(day - 1)), Some(1));
        assert_eq!(remaining(at, at.plus_millis(day)), None);
        assert_eq!(remaining(at.plus_millis(60_000), at), Some(day));
    }
}
