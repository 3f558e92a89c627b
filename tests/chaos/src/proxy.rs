//! A TCP proxy that stands before a server and spoils the connection: cut,
//! held in one direction or both, slow, narrow, or ended at random. It can also
//! be told to act at the very moment when given bytes come past, which is how a
//! process is killed between two steps without a hook in its code.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::Dice;

const CHUNK: usize = 64 * 1024;
/// What is sent at once when bandwidth is limited.
const NARROW: usize = 1024;

/// How the network is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Connections are reset, those that are there and those that come.
    pub cut: bool,
    /// Nothing goes from clients to the server, and nothing is lost of it.
    pub hold_requests: bool,
    /// Nothing goes from the server to clients, and nothing is lost of it. With
    /// requests going through this is a half-open connection.
    pub hold_answers: bool,
    /// Of each piece that goes through.
    pub delay: Duration,
    /// Added to the delay, at random, up to this.
    pub jitter: Duration,
    pub bytes_per_second: Option<u64>,
    /// Of a thousand pieces, how many end their connection.
    pub resets_per_mille: u64,
}

impl Conditions {
    pub fn cut() -> Self {
        Self {
            cut: true,
            ..Self::default()
        }
    }

    pub fn black_hole() -> Self {
        Self {
            hold_requests: true,
            hold_answers: true,
            ..Self::default()
        }
    }

    pub fn half_open() -> Self {
        Self {
            hold_answers: true,
            ..Self::default()
        }
    }

    pub fn slow(delay_ms: u64, jitter_ms: u64) -> Self {
        Self {
            delay: Duration::from_millis(delay_ms),
            jitter: Duration::from_millis(jitter_ms),
            ..Self::default()
        }
    }
}

/// When a trap acts. The connection ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The bytes came from a client; the server never gets them.
    BeforeRequest,
    /// The server got them; whether it did what they say is open.
    AfterRequest,
    /// The server has answered them; the client never hears of it.
    BeforeAnswer,
}

type Act = Arc<dyn Fn() + Send + Sync>;

struct Trap {
    bytes: Vec<u8>,
    when: When,
    /// Sightings to let pass first.
    skip: usize,
    /// How often it acts.
    times: usize,
    act: Act,
}

struct Shared {
    target: Mutex<Option<SocketAddr>>,
    conditions: watch::Sender<Conditions>,
    /// Counted up to end all connections once.
    resets: watch::Sender<u64>,
    traps: Mutex<Vec<Trap>>,
    sprung: AtomicU64,
    dice: Mutex<Dice>,
}

/// Listens until it is dropped with its runtime.
#[derive(Clone)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Proxy {
    /// Listens at a port of its own. Connections are reset until there is a
    /// target.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn bind(dice: Dice) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target: Mutex::default(),
            conditions: watch::Sender::new(Conditions::default()),
            resets: watch::Sender::new(0),
            traps: Mutex::default(),
            sprung: AtomicU64::new(0),
            dice: Mutex::new(dice),
        });
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            loop {
                // A failure to accept is the client's: it was gone already.
                if let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(serve(Arc::clone(&accepting), client));
                }
            }
        });
        Ok(Self { address, shared })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn stand_before(&self, target: SocketAddr) {
        *lock(&self.shared.target) = Some(target);
    }

    pub fn target(&self) -> Option<SocketAddr> {
        *lock(&self.shared.target)
    }

    pub fn set(&self, conditions: Conditions) {
        self.shared.conditions.send_replace(conditions);
    }

    pub fn mend(&self) {
        self.set(Conditions::default());
    }

    /// Ends all connections there are, once.
    pub fn reset(&self) {
        self.shared.resets.send_modify(|resets| *resets += 1);
    }

    /// Acts `times` times when `bytes` come past, after `skip` sightings.
    pub fn trap(
        &self,
        bytes: &[u8],
        when: When,
        skip: usize,
        times: usize,
        act: impl Fn() + Send + Sync + 'static,
    ) {
        lock(&self.shared.traps).push(Trap {
            bytes: bytes.to_vec(),
            when,
            skip,
            times,
            act: Arc::new(act),
        });
    }

    pub fn forget_traps(&self) {
        lock(&self.shared.traps).clear();
    }

    /// How often a trap has acted.
    pub fn sprung(&self) -> u64 {
        self.shared.sprung.load(Ordering::SeqCst)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// The trap that these bytes of a client spring.
    fn sighted(&self, bytes: &[u8]) -> Option<(When, Act)> {
        let mut traps = lock(&self.traps);
        let at = traps.iter_mut().position(|trap| {
            let seen = contains(bytes, &trap.bytes);
            if seen && trap.skip > 0 {
                trap.skip -= 1;
                return false;
            }
            seen
        })?;
        let trap = &mut traps[at];
        trap.times = trap.times.saturating_sub(1);
        let found = (trap.when, Arc::clone(&trap.act));
        if trap.times == 0 {
            traps.swap_remove(at);
        }
        Some(found)
    }

    fn act(&self, act: &Act) {
        act();
        self.sprung.fetch_add(1, Ordering::SeqCst);
    }

    fn roll(&self, bound: u64) -> u64 {
        lock(&self.dice).below(bound)
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && bytes.windows(wanted.len()).any(|window| window == wanted)
}

async fn serve(shared: Arc<Shared>, mut client: TcpStream) {
    let mut conditions = shared.conditions.subscribe();
    let mut resets = shared.resets.subscribe();
    resets.mark_unchanged();
    let target = *lock(&shared.target);
    let cut = conditions.borrow().cut;
    let connected = match target {
        Some(target) if !cut => TcpStream::connect(target).await.ok(),
        _ => None,
    };
    let Some(mut server) = connected else {
        // Dropped with a linger of zero, a socket is reset, not closed.
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let answered: Mutex<Option<Act>> = Mutex::default();
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            ended = upward(&shared, &answered, from_client, to_server) => ended,
            ended = downward(&shared, &answered, from_server, to_client) => ended,
            _ = conditions.wait_for(|conditions| conditions.cut) => Ok(Ended::Cut),
            _ = resets.changed() => Ok(Ended::Cut),
        }
    };
    if !matches!(ended, Ok(Ended::Closed)) {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

enum Ended {
    Closed,
    Cut,
}

/// From the client to the server.
async fn upward(
    shared: &Shared,
    answered: &Mutex<Option<Act>>,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> std::io::Result<Ended> {
    let mut buffer = vec![0; CHUNK];
    // What is looked for may lie across two pieces.
    let mut seen: Vec<u8> = Vec::new();
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(Ended::Closed);
        }
        let bytes = &buffer[..read];
        if pass(shared, |conditions| conditions.hold_requests).await {
            return Ok(Ended::Cut);
        }
        seen.extend_from_slice(bytes);
        match shared.sighted(&seen) {
            Some((When::BeforeRequest, act)) => {
                shared.act(&act);
                return Ok(Ended::Cut);
            }
            Some((When::AfterRequest, act)) => {
                to.write_all(bytes).await?;
                to.flush().await?;
                shared.act(&act);
                return Ok(Ended::Cut);
            }
            Some((When::BeforeAnswer, act)) => {
                seen.clear();
                *lock(answered) = Some(act);
                send(shared, &mut to, bytes).await?;
            }
            None => {
                let longest = lock(&shared.traps)
                    .iter()
                    .map(|trap| trap.bytes.len())
                    .max()
                    .unwrap_or(0);
                // Of a sighting that was let pass nothing may be kept.
                let keep = longest.saturating_sub(1).min(seen.len());
                seen.drain(..seen.len() - keep);
                send(shared, &mut to, bytes).await?;
            }
        }
    }
}

/// From the server to the client.
async fn downward(
    shared: &Shared,
    answered: &Mutex<Option<Act>>,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> std::io::Result<Ended> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(Ended::Closed);
        }
        let act = lock(answered).take();
        if let Some(act) = act {
            shared.act(&act);
            return Ok(Ended::Cut);
        }
        if pass(shared, |conditions| conditions.hold_answers).await {
            return Ok(Ended::Cut);
        }
        send(shared, &mut to, &buffer[..read]).await?;
    }
}

/// Waits as conditions are. Whether the connection is to end instead.
async fn pass(shared: &Shared, held: impl Fn(&Conditions) -> bool) -> bool {
    let mut conditions = shared.conditions.subscribe();
    let now = match conditions.wait_for(|conditions| !held(conditions)).await {
        Ok(now) => now.clone(),
        Err(_) => return true,
    };
    let jitter = u64::try_from(now.jitter.as_millis()).unwrap_or(0);
    let wait = now.delay + Duration::from_millis(shared.roll(jitter + 1));
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    now.resets_per_mille > 0 && shared.roll(1000) < now.resets_per_mille
}

async fn send(
    shared: &Shared,
    to: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
) -> std::io::Result<()> {
    for piece in bytes.chunks(NARROW) {
        let rate = shared.conditions.borrow().bytes_per_second;
        let Some(rate) = rate.filter(|rate| *rate > 0) else {
            return to.write_all(&bytes[offset(bytes, piece)..]).await;
        };
        to.write_all(piece).await?;
        let seconds = piece.len() as f64 / rate as f64;
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    }
    Ok(())
}

/// Where `piece` begins in `bytes`.
fn offset(bytes: &[u8], piece: &[u8]) -> usize {
    piece.as_ptr() as usize - bytes.as_ptr() as usize
}

#[cfg(test)]
mod tests;
