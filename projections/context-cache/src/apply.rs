use std::collections::HashMap;

use domain_kernel::Timestamp;
use futures::future::join;
use platform_log::partition_of;
use platform_redis::{Redis, Script};

use crate::place::{POINTER, Resolved};
use crate::project::{context_key, history_key, link_key};
use crate::{CachedContext, Change, Error, LISTED, Link, TOPIC, TTL};

/// What the names of the cache's keys start with.
const KINDS: [&str; 3] = ["context:", "correlation:", "history:"];
const POSITION: &str = "context-cache:position:";

/// Changes written at once: few enough for the deadline of a call, and so few
/// that the next ones are made ready meanwhile.
const CHUNK: usize = 250;

/// Notes who owns a partition and reads its offsets, unless a newer owner did. By
/// the note a later flush is noticed, and an older owner writes no more, not even
/// into what was flushed and not yet filled.
const CLAIM_POSITION: Script = Script::new(
    "local seen = redis.call('HGET', KEYS[1], 'generation') \
     if seen and tonumber(seen) > tonumber(ARGV[1]) then return {'fenced', seen} end \
     redis.call('HSET', KEYS[1], 'generation', ARGV[1]) \
     return redis.call('HGETALL', KEYS[1])",
);

/// For who only looks, and must not hide a flush by such a note.
const READ_POSITION: Script = Script::new("return redis.call('HGETALL', KEYS[1])");

/// Writes a batch and its offsets, all or nothing.
///
/// `KEYS`: the offsets, the pointer to the live cache, then what is written.
/// `ARGV`: generation, whether it was noted before, the live cache as it
/// was known, how many a list keeps, number of offsets, then topic and offset of
/// each, then one operation a key. `S`: set, value, milliseconds. `L`: list,
/// order, member, milliseconds.
///
/// A member that is in its list came with its time to live. A list is cut at
/// every eighth order: readers look at no more than it is to keep.
const WRITE: Script = Script::new(
    "local seen = redis.call('HGET', KEYS[1], 'generation') \
     if not seen and ARGV[2] == '1' then return {-1, 0} end \
     if seen and tonumber(seen) > tonumber(ARGV[1]) then return {-2, tonumber(seen)} end \
     if ARGV[2] == '1' and tonumber(seen) < tonumber(ARGV[1]) then return {-1, 0} end \
     if (redis.call('GET', KEYS[2]) or '0') ~= ARGV[3] then return {-3, 0} end \
     local beyond = -1 - tonumber(ARGV[4]) \
     local at = 6 \
     redis.call('HSET', KEYS[1], 'generation', ARGV[1]) \
     for _ = 1, tonumber(ARGV[5]) do \
       redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) \
       at = at + 2 \
     end \
     for number = 3, #KEYS do \
       local key = KEYS[number] \
       if ARGV[at] == 'S' then \
         redis.call('SET', key, ARGV[at + 1], 'PX', ARGV[at + 2]) \
         at = at + 3 \
       else \
         local order, ttl = ARGV[at + 1], ARGV[at + 3] \
         if redis.call('ZADD', key, 'NX', order, ARGV[at + 2]) == 1 then \
           if tonumber(order) % 8 == 0 then \
             redis.call('ZREMRANGEBYRANK', key, 0, beyond) \
           end \
           if redis.call('PEXPIRE', key, ttl, 'GT') == 0 then \
             redis.call('PEXPIRE', key, ttl, 'NX') \
           end \
         end \
         at = at + 4 \
       end \
     end \
     return {0, 0}",
);

/// Where the offsets of a partition are kept.
pub(crate) fn position_key(start: &str, partition: i32) -> String {
    format!("{start}{POSITION}{partition}")
}

/// The offsets, for who is going to write from there on.
pub(crate) async fn claim(
    redis: &Redis,
    place: &Resolved,
    partition: i32,
    generation: i64,
) -> Result<Vec<(String, i64)>, Error> {
    let key = [position_key(&place.start, partition)];
    let arguments = vec![text(generation)];
    let fields: Vec<String> = redis.eval(&CLAIM_POSITION, &key, arguments).await?;
    if let [fenced, seen] = fields.as_slice()
        && fenced == "fenced"
    {
        let seen = seen.parse().unwrap_or(0);
        return Err(Error::Fenced { partition, seen });
    }
    Ok(offsets(&fields))
}

pub(crate) async fn positions(
    redis: &Redis,
    place: &Resolved,
    partition: i32,
) -> Result<Vec<(String, i64)>, Error> {
    let key = [position_key(&place.start, partition)];
    let fields: Vec<String> = redis.eval(&READ_POSITION, &key, Vec::new()).await?;
    Ok(offsets(&fields))
}

fn offsets(fields: &[String]) -> Vec<(String, i64)> {
    let offset = fields
        .as_chunks::<2>()
        .0
        .iter()
        .find(|[name, _]| name == TOPIC)
        .and_then(|[_, offset]| offset.parse().ok())
        .unwrap_or(0);
    vec![(TOPIC.to_owned(), offset)]
}

/// Who writes into a partition, and where.
pub(crate) struct Writer<'a> {
    pub(crate) place: &'a Resolved,
    pub(crate) partition: i32,
    pub(crate) generation: i64,
    /// Whether this generation was noted, so that it must stand there.
    pub(crate) claimed: bool,
}

/// Writes the changes and then the offsets.
pub(crate) async fn apply(
    redis: &Redis,
    writer: &Writer<'_>,
    changes: &[Change],
    upto: &[(String, i64)],
    now: Timestamp,
) -> Result<(), Error> {
    let mut chunks = changes.chunks(CHUNK).peekable();
    // The offsets go with the last ones: what is written again does no harm.
    let mut build = || {
        let chunk = chunks.next().unwrap_or_default();
        let upto = if chunks.peek().is_none() { upto } else { &[] };
        let call = Call::build(writer, chunk, upto, now)?;
        Ok::<_, Error>((call, chunks.peek().is_some()))
    };
    let mut built = build()?;
    loop {
        let (call, more) = built;
        let writing = redis.eval(&WRITE, &call.keys, call.arguments);
        // The server writes while the next ones are made ready.
        let ready = async { more.then(&mut build).transpose() };
        let (answer, next) = join(writing, ready).await;
        let (code, seen): (i64, i64) = answer?;
        match code {
            0 => {}
            -1 => {
                return Err(Error::Flushed {
                    partition: writer.partition,
                });
            }
            -3 => return Err(Error::Replaced),
            _ => {
                return Err(Error::Fenced {
                    partition: writer.partition,
                    seen,
                });
            }
        }
        match next? {
            Some(next) => built = next,
            None => return Ok(()),
        }
    }
}

/// What one run of [`WRITE`] is given.
struct Call<'a> {
    start: &'a str,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

impl<'a> Call<'a> {
    fn build(
        writer: &Writer<'a>,
        changes: &[Change],
        upto: &[(String, i64)],
        now: Timestamp,
    ) -> Result<Self, Error> {
        let start = writer.place.start.as_str();
        let mut call = Self {
            start,
            keys: vec![position_key(start, writer.partition), POINTER.to_owned()],
            arguments: vec![
                text(writer.generation),
                text(u8::from(writer.claimed)),
                text(writer.place.live),
                text(LISTED),
                text(upto.len()),
            ],
        };
        for (topic, offset) in upto {
            call.arguments.extend([text(topic), text(offset)]);
        }
        for change in changes {
            call.add(change, now)?;
        }
        Ok(call)
    }

    fn add(&mut self, change: &Change, now: Timestamp) -> Result<(), Error> {
        match change {
            Change::Share {
                context,
                link,
                order,
            } => {
                let Some(ttl) = remaining(context.at, now) else {
                    return Ok(());
                };
                self.set(
                    &context_key(context.context_id),
                    serde_json::to_vec(context)?,
                    ttl,
                );
                self.set(
                    &link_key(context.correlation_id),
                    serde_json::to_vec(link)?,
                    ttl,
                );
                self.key(&history_key(
                    &context.tenant,
                    &context.space,
                    &context.subject,
                ));
                let member = text(context.context_id);
                self.arguments
                    .extend([b"L".to_vec(), text(order), member, text(ttl)]);
            }
            Change::Merge {
                correlation_id,
                link,
                at,
            } => {
                if let Some(ttl) = remaining(*at, now) {
                    self.set(&link_key(*correlation_id), serde_json::to_vec(link)?, ttl);
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: Vec<u8>, ttl: i64) {
        self.key(key);
        self.arguments.extend([b"S".to_vec(), value, text(ttl)]);
    }

    fn key(&mut self, key: &str) {
        self.keys.push(format!("{}{key}", self.start));
    }
}

fn text(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
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
