#![allow(clippy::unwrap_used)]

use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use super::*;

/// Answers every piece with itself, and counts the bytes it got.
async fn echo() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let got = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&got);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let counter = Arc::clone(&counter);
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                while let Ok(read) = stream.read(&mut buffer).await {
                    if read == 0 || stream.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                    counter.fetch_add(read, Ordering::SeqCst);
                }
            });
        }
    });
    (address, got)
}

async fn proxied() -> (Proxy, Arc<AtomicUsize>) {
    let (address, got) = echo().await;
    let proxy = Proxy::bind(Dice::new(1)).await.unwrap();
    proxy.stand_before(address);
    (proxy, got)
}

async fn say(stream: &mut TcpStream, words: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(words).await?;
    let mut answer = vec![0; words.len()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn what_is_cut_is_reset_and_comes_back_when_mended() {
    let (proxy, _) = proxied().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(say(&mut stream, b"hello").await.unwrap(), b"hello");
    proxy.set(Conditions::cut());
    assert!(say(&mut stream, b"hello").await.is_err());
    let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(say(&mut refused, b"hello").await.is_err());
    proxy.mend();
    let mut again = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(say(&mut again, b"hello").await.unwrap(), b"hello");
    proxy.reset();
    assert!(say(&mut again, b"hello").await.is_err());
}

#[tokio::test]
async fn a_black_hole_loses_nothing() {
    let (proxy, got) = proxied().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(say(&mut stream, b"one").await.unwrap(), b"one");
    proxy.set(Conditions::black_hole());
    stream.write_all(b"two").await.unwrap();
    let mut answer = [0; 3];
    let waited = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut answer)).await;
    assert!(waited.is_err());
    assert_eq!(got.load(Ordering::SeqCst), 3);
    proxy.mend();
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"two");
}

#[tokio::test]
async fn a_half_open_connection_takes_requests_and_gives_no_answers() {
    let (proxy, got) = proxied().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.set(Conditions::half_open());
    stream.write_all(b"two").await.unwrap();
    let mut answer = [0; 3];
    let waited = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut answer)).await;
    assert!(waited.is_err());
    assert_eq!(got.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn delay_and_bandwidth_take_their_time() {
    let (proxy, _) = proxied().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.set(Conditions::slow(50, 0));
    let begun = Instant::now();
    say(&mut stream, b"hello").await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(100), "both ways");
    proxy.set(Conditions {
        bytes_per_second: Some(20_000),
        ..Conditions::default()
    });
    let begun = Instant::now();
    say(&mut stream, &[7; 8_000]).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn connections_end_at_random() {
    let (proxy, _) = proxied().await;
    proxy.set(Conditions {
        resets_per_mille: 1_000,
        ..Conditions::default()
    });
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(say(&mut stream, b"hello").await.is_err());
}

/// Whether the answer was heard, how often the trap acted, what the server got.
async fn spring(when: When, skip: usize) -> (bool, usize, usize) {
    let (proxy, got) = proxied().await;
    let acted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&acted);
    proxy.trap(b"word", when, skip, 1, move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    // Across two pieces.
    assert_eq!(say(&mut stream, b"a wo").await.unwrap(), b"a wo");
    let heard = say(&mut stream, b"rd b").await.is_ok();
    for _ in 0..100 {
        if heard || acted.load(Ordering::SeqCst) > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // What was forwarded arrives, if it was.
    tokio::time::sleep(Duration::from_millis(50)).await;
    (
        heard,
        acted.load(Ordering::SeqCst),
        got.load(Ordering::SeqCst),
    )
}

#[tokio::test]
async fn a_trap_acts_where_it_was_set() {
    assert_eq!(spring(When::BeforeRequest, 0).await, (false, 1, 4));
    let (heard, acted, _) = spring(When::AfterRequest, 0).await;
    assert_eq!((heard, acted), (false, 1));
    assert_eq!(spring(When::BeforeAnswer, 0).await, (false, 1, 8));
    assert_eq!(spring(When::BeforeRequest, 1).await, (true, 0, 8));
}
