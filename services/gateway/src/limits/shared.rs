//! A budget for all gateways together. It lies in Redis; each gateway takes
//! some of it ahead, so that a call to Redis serves many requests. While Redis
//! is away every gateway keeps the limit on its own.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use platform_redis::{Redis, Script};
use platform_resilience::{BreakerSettings, Circuit, Quota, Standing};
use tracing::debug;

/// How long Redis is waited for: less than a request has to spare.
const DEADLINE: Duration = Duration::from_millis(250);
/// What comes in this time is taken ahead.
const AHEAD: Duration = Duration::from_millis(100);
/// What was taken ahead and not used in this time is given up.
const KEPT: Duration = Duration::from_secs(1);
/// More shares than a registry has sources.
const SHARES: usize = 100_000;

const BREAKER: BreakerSettings = BreakerSettings {
    failures_to_open: 3,
    open_for: Duration::from_secs(2),
    probes_to_close: 1,
};

/// The bucket of `platform_resilience::Limiter` by the clock of Redis, giving
/// several tokens at once: how many were granted, how many are left, and the
/// microseconds until there is one again.
const TAKE: Script = Script::new(
    "local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local interval, burst, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full_at = tonumber(redis.call('GET', KEYS[1]) or now)
if full_at < now then full_at = now end
local room = math.floor((now + interval * burst - full_at) / interval)
local granted = math.max(0, math.min(room, want))
if granted == 0 then
  return {0, 0, math.ceil(full_at + interval - interval * burst - now)}
end
full_at = full_at + granted * interval
local text = string.format('%.0f', full_at)
redis.call('SET', KEYS[1], text, 'PX', math.ceil((full_at - now) / 1000) + 1)
return {granted, room - granted, math.ceil(full_at - now)}",
);

#[derive(Debug)]
pub(super) struct Shared {
    redis: Redis,
    circuit: Circuit,
    shares: Mutex<HashMap<String, Share>>,
}

/// What this gateway may give out without asking.
#[derive(Debug, Clone, Copy)]
struct Share {
    tokens: u32,
    /// Left in Redis when the share was taken.
    beyond: u32,
    full_in: Duration,
    /// There was nothing to be had, and is nothing until `until`.
    refused: bool,
    until: Instant,
}

impl Shared {
    pub(super) fn new(redis: Redis) -> Self {
        Self {
            redis,
            circuit: Circuit::new("rate-limits-redis", BREAKER),
            shares: Mutex::default(),
        }
    }

    pub(super) const fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// Takes a token of the common budget. None when Redis cannot tell.
    pub(super) async fn take(&self, key: String, quota: Quota) -> Option<Standing> {
        if let Some(standing) = self.at_hand(&key, Instant::now()) {
            return Some(standing);
        }
        let (granted, left, micros) = self.ask(&key, quota).await?;
        let now = Instant::now();
        let reset = Duration::from_micros(micros);
        let mut shares = self.shares();
        if shares.len() >= SHARES {
            shares.retain(|_, share| share.until > now);
        }
        let share = Share {
            tokens: granted.saturating_sub(1),
            beyond: left,
            full_in: reset,
            refused: granted == 0,
            // Who was refused is refused here until there is a token again.
            until: now + if granted == 0 { reset } else { KEPT },
        };
        shares.insert(key, share);
        Some(Standing {
            admitted: granted > 0,
            remaining: share.tokens.saturating_add(left),
            reset,
        })
    }

    fn at_hand(&self, key: &str, now: Instant) -> Option<Standing> {
        let mut shares = self.shares();
        let share = shares.get_mut(key)?;
        if share.until <= now {
            shares.remove(key);
            return None;
        }
        if share.tokens > 0 {
            share.tokens -= 1;
            return Some(Standing {
                admitted: true,
                remaining: share.tokens.saturating_add(share.beyond),
                reset: share.full_in,
            });
        }
        // Used up: there may be more to be had.
        share.refused.then(|| Standing {
            admitted: false,
            remaining: 0,
            reset: share.until - now,
        })
    }

    async fn ask(&self, key: &str, quota: Quota) -> Option<(u32, u32, u64)> {
        let interval = quota.replenish_interval();
        let burst = quota.burst_size().get();
        let want = AHEAD.div_duration_f64(interval) as u32;
        // One gateway must not take what all others should live on.
        let want = want.min(burst / 4).max(1);
        let arguments = [
            format!("{:.3}", interval.as_secs_f64() * 1e6),
            burst.to_string(),
            want.to_string(),
        ];
        let names = [key.to_owned()];
        let arguments = arguments.map(String::into_bytes).to_vec();
        let asked = self.redis.eval::<Vec<i64>>(&TAKE, &names, arguments);
        let in_time = async {
            let answer = tokio::time::timeout(DEADLINE, asked).await.map_err(drop)?;
            answer.map_err(|error| {
                debug!(error = %error, "the common budget cannot be asked for");
            })
        };
        let answer = self.circuit.call(in_time).await.ok()?.ok()?;
        let [granted, left, micros]: [i64; 3] = answer.try_into().ok()?;
        Some((
            u32::try_from(granted).ok()?,
            u32::try_from(left).ok()?,
            u64::try_from(micros).ok()?,
        ))
    }

    fn shares(&self) -> MutexGuard<'_, HashMap<String, Share>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
