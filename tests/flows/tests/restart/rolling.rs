use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use platform_testkit::{Proc, eventually};
use tests_kit::{Mesh, PATIENCE, Sender, Ticket};

/// Senders at once.
const SENDERS: usize = 6;
/// Deliveries between two restarts.
const BETWEEN: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_go_on_while_the_gateway_is_replaced() {
    let mesh = Mesh::start("restart", |settings| {
        settings.http.reuse_port = true;
        settings.http.drain_notice_ms = 1_000;
    })
    .await
    .unwrap();
    let first = mesh.sender().unwrap();
    // The source is known from here on.
    first.deliver(&Ticket::new("RESTART")).await.unwrap();

    let done = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = (0..SENDERS)
        .map(|number| {
            let sender = mesh.sender().unwrap();
            let (done, answered) = (done.clone(), answered.clone());
            tokio::spawn(async move { send(sender, number, &done, &answered).await })
        })
        .collect();

    let begun = Instant::now();
    let mut present: Option<Proc> = None;
    for _ in 0..2 {
        more(&answered).await;
        let mut next = Proc::spawn("gateway", mesh.settings()).unwrap();
        next.ready().await.unwrap();
        match &mut present {
            None => mesh.stop_roles(&["gateway"]).await.unwrap(),
            Some(process) => {
                let status = process.terminate().await.unwrap();
                assert!(status.success(), "{status}");
            }
        }
        present = Some(next);
    }
    more(&answered).await;
    done.store(true, Ordering::Relaxed);
    let mut sent = BTreeSet::new();
    for sender in load {
        sent.extend(sender.await.expect("no delivery failed"));
    }
    assert!(sent.len() >= 3 * BETWEEN, "{}", sent.len());
    eprintln!(
        "two restarts, {} deliveries in {:.1} s, all answered with 202",
        sent.len(),
        begun.elapsed().as_secs_f64()
    );

    // Every delivery that was answered with 202 is on the log.
    let observer = mesh.observer().await.unwrap();
    let accepted = observer
        .counts("mesh.deliveries", "DeliveryAccepted")
        .await
        .unwrap();
    for ticket in sent {
        let correlation = Ticket::new(&ticket).correlation().to_string();
        assert_eq!(accepted.get(&correlation), Some(&1), "{ticket}");
    }
}

/// Sends one ticket after another, each once, and says which.
async fn send(
    sender: Sender,
    number: usize,
    done: &AtomicBool,
    answered: &AtomicUsize,
) -> Vec<String> {
    let mut sent = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let id = format!("RESTART-{number}-{}", sent.len());
        let answer = sender.post(&Ticket::new(&id)).await.unwrap();
        assert_eq!(
            answer.status,
            202,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        answered.fetch_add(1, Ordering::Relaxed);
        sent.push(id);
        // Steady, and slow enough for the rest of the mesh.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sent
}

/// Waits until some more deliveries have been answered.
async fn more(answered: &AtomicUsize) {
    let until = answered.load(Ordering::Relaxed) + BETWEEN;
    eventually(PATIENCE, || async {
        (answered.load(Ordering::Relaxed) >= until).then_some(())
    })
    .await
    .expect("deliveries go on");
}
