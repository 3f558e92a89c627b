//! A TCP proxy that can be cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Proxy {
    port: u16,
    target: String,
    open: Arc<watch::Sender<bool>>,
    /// How many answers to `COMMIT` are still to be lost.
    lose: Arc<AtomicUsize>,
}

impl Proxy {
    /// Stands before the server that `url` names.
    pub async fn before(url: &str) -> Self {
        let target = host_of(url).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(watch::Sender::new(true));
        let state = Arc::clone(&open);
        let lose = Arc::new(AtomicUsize::new(0));
        let losing = Arc::clone(&lose);
        let upstream = target.clone();
        tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else {
                    return;
                };
                let mut open = state.subscribe();
                let upstream = upstream.clone();
                let losing = Arc::clone(&losing);
                tokio::spawn(async move {
                    if !*open.borrow() {
                        return;
                    }
                    let Ok(server) = TcpStream::connect(upstream).await else {
                        return;
                    };
                    tokio::select! {
                        _ = relay(client, server, &losing) => {}
                        _ = open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self {
            port,
            target,
            open,
            lose,
        }
    }

    pub fn instead_of(&self, url: &str) -> String {
        url.replace(&self.target, &format!("127.0.0.1:{}", self.port))
    }

    /// Ends all connections and lets none live.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    pub fn mend(&self) {
        self.open.send_replace(true);
    }

    /// Lets the next commits reach the server, and ends the connection in place
    /// of their answer.
    pub fn lose_answers_to_commits(&self, count: usize) {
        self.lose.store(count, Ordering::SeqCst);
    }

    pub fn commits_to_lose(&self) -> usize {
        self.lose.load(Ordering::SeqCst)
    }

    /// To be cut from elsewhere.
    pub fn switch(&self) -> Arc<watch::Sender<bool>> {
        Arc::clone(&self.open)
    }
}

async fn relay(
    mut client: TcpStream,
    mut server: TcpStream,
    lose: &AtomicUsize,
) -> std::io::Result<()> {
    let mut up = vec![0; 64 * 1024];
    let mut down = vec![0; 64 * 1024];
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let sent = &up[..read?];
                if sent.is_empty() {
                    return Ok(());
                }
                server.write_all(sent).await?;
                let commits = sent.windows(6).any(|word| word == b"COMMIT");
                let take_one = |left: usize| left.checked_sub(1);
                if commits && lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_one).is_ok() {
                    // The answer has come, so it is committed, and nobody is told.
                    let _lost = server.read(&mut down).await?;
                    return Ok(());
                }
            }
            read = server.read(&mut down) => {
                let answered = &down[..read?];
                if answered.is_empty() {
                    return Ok(());
                }
                client.write_all(answered).await?;
            }
        }
    }
}

/// `host:port` of a URL.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['/', '?']).next().unwrap();
    rest.rsplit_once('@').map_or(rest, |(_, host)| host)
}
