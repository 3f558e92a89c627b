use platform_redis::{Redis, Script};

use crate::Error;

/// Names the cache that is live: a number that each swap counts up. Where there
/// is none, as after a flush, it is the first.
pub(crate) const POINTER: &str = "context-cache:live";

/// Of the caches that stand side by side, one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Live,
    /// What is to become the live one.
    Next,
    Kept(String),
}

/// A place as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// The number of the live cache at that time.
    pub(crate) live: u64,
    /// What the names of the keys start with.
    pub(crate) start: String,
}

impl Place {
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "next" => Self::Next,
            name => Self::Kept(name.to_owned()),
        }
    }

    pub(crate) async fn resolve(&self, redis: &Redis) -> Result<Resolved, Error> {
        let live = live(redis).await?;
        let start = match self {
            Self::Live => start_of(live),
            Self::Next => start_of(live + 1),
            Self::Kept(name) => format!("cache-{name}:"),
        };
        Ok(Resolved { live, start })
    }
}

/// The first cache has plain names.
fn start_of(number: u64) -> String {
    match number {
        0 => String::new(),
        number => format!("cache{number}:"),
    }
}

async fn live(redis: &Redis) -> Result<u64, Error> {
    let pointer = redis.get(POINTER).await?;
    let number = pointer.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
    Ok(number.unwrap_or(0))
}

/// Makes the next cache the live one, unless another is live than was thought.
/// `KEYS`: the pointer, then the offsets of each partition. `ARGV`: the number of
/// the live cache, of the next one, then the owner generation of each partition.
const SWAP: Script = Script::new(
    "if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then return 0 end \
     for i = 2, #KEYS do redis.call('HSET', KEYS[i], 'generation', ARGV[i + 1]) end \
     redis.call('SET', KEYS[1], ARGV[2]) \
     return 1",
);

/// Answers what the replaced cache's keys start with.
pub(crate) async fn swap(
    redis: &Redis,
    position: impl Fn(&str, i32) -> String,
    generations: &[(i32, i64)],
) -> Result<String, Error> {
    let number = live(redis).await?;
    let next = start_of(number + 1);
    let mut keys = vec![POINTER.to_owned()];
    let mut arguments = vec![
        number.to_string().into_bytes(),
        (number + 1).to_string().into_bytes(),
    ];
    for (partition, generation) in generations {
        keys.push(position(&next, *partition));
        arguments.push(generation.to_string().into_bytes());
    }
    let swapped = match redis.eval::<i64>(&SWAP, &keys, arguments).await {
        Ok(swapped) => swapped == 1,
        // The answer may be late and the swap done: the pointer tells.
        Err(error) => match live(redis).await {
            Ok(found) if found == number + 1 => true,
            _ => return Err(error.into()),
        },
    };
    if swapped {
        Ok(start_of(number))
    } else {
        Err(Error::Replaced)
    }
}

/// Reads one value of the live cache, whichever that is. `ARGV`: the prefix of
/// all keys, the name.
const READ: Script = Script::new(
    "local live = redis.call('GET', KEYS[1]) or '0' \
     local start = ARGV[1] \
     if live ~= '0' then start = start .. 'cache' .. live .. ':' end \
     return redis.call('GET', start .. ARGV[2])",
);

pub(crate) async fn read(redis: &Redis, name: String) -> Result<Option<Vec<u8>>, Error> {
    let arguments = vec![redis.key("").into_bytes(), name.into_bytes()];
    Ok(redis.eval(&READ, &[POINTER.to_owned()], arguments).await?)
}

/// Reads the newest members of a list and the contexts they name, oldest first,
/// all of one cache. `ARGV`: the prefix of all keys, the list, how many.
const READ_LIST: Script = Script::new(
    "local live = redis.call('GET', KEYS[1]) or '0' \
     local start = ARGV[1] \
     if live ~= '0' then start = start .. 'cache' .. live .. ':' end \
     local found = {} \
     for i, id in ipairs(redis.call('ZRANGE', start .. ARGV[2], -tonumber(ARGV[3]), -1)) do \
       found[i] = redis.call('GET', start .. 'context:' .. id) \
     end \
     return found",
);

pub(crate) async fn read_list(
    redis: &Redis,
    name: String,
    count: usize,
) -> Result<Vec<Option<Vec<u8>>>, Error> {
    let arguments = vec![
        redis.key("").into_bytes(),
        name.into_bytes(),
        count.to_string().into_bytes(),
    ];
    Ok(redis
        .eval(&READ_LIST, &[POINTER.to_owned()], arguments)
        .await?)
}
