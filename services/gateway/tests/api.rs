//! The API for users, and batches, on real servers. The agents role is played
//! here: it is the log that connects them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;

use std::time::Duration;

use bench::users::{INVOKE, TENANT, answer, asked, bench, call, fail, key};
use bench::{Answer, Bench, PATIENCE, Running, SECRET, now, sign};
use domain_delivery::DeliveryEvent;
use domain_execution::{ExecutionRequest, ExecutionRequested};
use domain_kernel::Recorded;
use platform_http::reqwest::{Method, StatusCode};
use platform_identity::Minted;
use platform_postgres::Pool;
use platform_redis::{Redis, Script};
use platform_testkit::eventually;
use projections_audit::AuditProjection;
use projections_executions::ExecutionsProjection;
use schemas::Executions;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_comes_over_the_log_to_whichever_gateway_was_asked() {
    let bench = bench("gateway_invoke").await;
    let (one, other) = tokio::join!(bench.start(), bench.start());
    let headers = [TENANT, ("idempotency-key", "\"k-1\"")];
    let body = r#"{"arguments":{"n":1}}"#;
    let ask = call(&one, Method::POST, INVOKE, &headers, body);
    let play = async {
        let requests = asked(&bench, 1).await;
        let request = &requests[0];
        assert_eq!(request.meta.source, "/agentmesh/gateway");
        assert!(request.meta.causation.is_some());
        // Somebody asks the other gateway meanwhile.
        let again = call(&other, Method::POST, INVOKE, &headers, body).await;
        assert_eq!(again.problem(), "request-in-flight");
        assert_eq!(again.headers["retry-after"], "1");
        answer(&bench, request, r#"{"said":"hello"}"#).await;
    };
    let (first, ()) = tokio::join!(ask, play);
    assert_eq!(first.status, StatusCode::OK, "{}", first.text);
    let told = first.json();
    assert_eq!(told["output"], json!({"said": "hello"}));
    assert_eq!(
        (&told["status"], &told["model"]),
        (&json!("succeeded"), &json!("played"))
    );

    // The same again, from either; also when Redis has forgotten.
    let redis = Redis::connect(&bench.settings.redis).await.unwrap();
    for gateway in [&one, &other] {
        for _ in 0..2 {
            let again = call(gateway, Method::POST, INVOKE, &headers, body).await;
            assert!(again.is_replayed());
            assert_eq!((again.status, &again.text), (first.status, &first.text));
            let changed = call(gateway, Method::POST, INVOKE, &headers, "{}").await;
            assert_eq!(changed.problem(), "key-reused");
            let names = redis.scan("answer:").await.unwrap();
            if !names.is_empty() {
                redis.delete(&names).await.unwrap();
            }
        }
    }
    assert_eq!(bench.events::<Executions>().await.len(), 1);
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_want_to_wait_gets_an_address() {
    let bench = bench("gateway_invoke_async").await;
    let gateway = bench.start().await;
    for (number, prefer) in ["respond-async", "wait=0"].into_iter().enumerate() {
        let id = format!("k-{number}");
        let headers = [TENANT, ("prefer", prefer), ("idempotency-key", &id)];
        let answer = call(&gateway, Method::POST, INVOKE, &headers, "{}").await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        let location = answer.headers["location"].to_str().unwrap();
        assert_eq!(answer.json()["status_url"], location);
        // The read model is not even there.
        let known = eventually(PATIENCE, || async {
            let status = call(&gateway, Method::GET, location, &[TENANT], "").await;
            (status.status == StatusCode::OK).then_some(status)
        });
        assert_eq!(known.await.unwrap().json()["status"], "requested");
        let again = call(&gateway, Method::POST, INVOKE, &headers, "{}").await;
        assert!(again.is_replayed() && again.status == StatusCode::ACCEPTED);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_as_it_comes() {
    let bench = bench("gateway_invoke_events").await;
    let gateway = bench.start().await;
    let headers = [TENANT, ("accept", "text/event-stream")];
    let ask = call(&gateway, Method::POST, INVOKE, &headers, "{}");
    let play = async { answer(&bench, &asked(&bench, 1).await[0], r#"{"a":1}"#).await };
    let (answer, ()) = tokio::join!(ask, play);
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert_eq!(names(&answer), ["accepted", "started", "result"]);
    assert!(answer.text.contains("id: 3"), "{}", answer.text);

    // An agent that fails is heard of as it would be without a stream.
    let ask = call(&gateway, Method::POST, INVOKE, &headers, "{}");
    let play = async { fail(&bench, &newest(&bench, 2).await, "unreachable").await };
    let (answer, ()) = tokio::join!(ask, play);
    assert_eq!(names(&answer), ["accepted", "started", "failed"]);
    assert_eq!(last(&answer)["code"], "unreachable");
    let ask = call(&gateway, Method::POST, INVOKE, &[TENANT], "{}");
    let play = async { fail(&bench, &newest(&bench, 3).await, "unreachable").await };
    let (plain, ()) = tokio::join!(ask, play);
    assert_eq!(plain.status, StatusCode::BAD_GATEWAY, "{}", plain.text);
    for field in ["type", "status", "code", "detail"] {
        assert_eq!(plain.json()[field], last(&answer)[field], "{field}");
    }

    // So is one that takes longer than is waited, and where it can be asked for.
    let headers = [headers[0], headers[1], ("prefer", "wait=1")];
    let late = call(&gateway, Method::POST, INVOKE, &headers, "{}").await;
    assert_eq!(names(&late), ["accepted", "pending"]);
    let url = last(&late)["status_url"].as_str().unwrap().to_owned();
    let status = call(&gateway, Method::GET, &url, &[TENANT], "").await;
    assert_eq!(status.json()["status"], "requested", "{}", status.text);
    gateway.stop().await;
}

/// The last of so many questions.
async fn newest(bench: &Bench, count: usize) -> Recorded<ExecutionRequested> {
    let questions = asked(bench, count).await.into_iter();
    questions.max_by_key(|question| question.meta.at).unwrap()
}

/// The names of the events of a stream.
fn names(answer: &Answer) -> Vec<&str> {
    fields(answer, "event: ")
}

/// What the last event of a stream says.
fn last(answer: &Answer) -> Value {
    serde_json::from_str(fields(answer, "data: ").last().unwrap()).unwrap()
}

fn fields<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    let lines = answer.text.lines();
    lines.filter_map(|line| line.strip_prefix(name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_called_off_by_its_tenant_and_nobody_else() {
    let bench = bench("gateway_invoke_cancel").await;
    let stranger = key(&bench, "other", "theirs", &["invoke"]).await;
    let gateway = bench.start().await;
    let stop = bench.follow(ExecutionsProjection::new(bench.schemas.clone()));
    let later = [TENANT, ("prefer", "respond-async")];
    let asked = call(&gateway, Method::POST, INVOKE, &later, "{}").await;
    let url = asked.headers["location"].to_str().unwrap();
    let off =
        async |headers: &[(&str, &str)]| call(&gateway, Method::DELETE, url, headers, "").await;
    // Once the read model knows it: before that nobody can tell whose step it is.
    let told = eventually(PATIENCE, || async {
        let told = off(&[TENANT]).await;
        (told.status == StatusCode::ACCEPTED).then_some(told)
    });
    assert_eq!(told.await.unwrap().json()["status"], "requested");
    // Again, which is one event to every reader.
    assert_eq!(off(&[TENANT]).await.status, StatusCode::ACCEPTED);
    let events = bench.events::<Executions>().await;
    let cancelled: Vec<_> = events
        .iter()
        .filter(|recorded| matches!(recorded.event, ExecutionRequest::Cancelled(_)))
        .collect();
    assert!(!cancelled.is_empty());
    let stream = &events[0].meta.stream;
    for event in &cancelled {
        assert_eq!(event.meta.id, cancelled[0].meta.id);
        assert_eq!((&event.meta.stream, event.meta.version), (stream, 2));
    }
    // What is not there cannot be called off, nor what is another's.
    let shown = format!("Bearer {}", stranger.text);
    let told = off(&[("authorization", &shown)]).await;
    assert_eq!(told.status, StatusCode::NOT_FOUND, "{}", told.text);
    for nowhere in [
        "/v1/executions/2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7d",
        "/v1/executions/x",
    ] {
        let told = call(&gateway, Method::DELETE, nowhere, &[TENANT], "").await;
        assert_eq!(told.status, StatusCode::NOT_FOUND, "{nowhere}");
    }
    stop.cancel();
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_and_asked_of_nobody() {
    let bench = bench("gateway_invoke_wrong").await;
    let gateway = bench.start().await;
    let post =
        |path: &'static str, headers: Vec<(&'static str, &'static str)>, body: &'static str| {
            let gateway = &gateway;
            async move { call(gateway, Method::POST, path, &headers, body).await }
        };
    for (path, headers, body, problem) in [
        (INVOKE, vec![], "{}", "bad-request"),
        (INVOKE, vec![TENANT], "[", "not-json"),
        (INVOKE, vec![TENANT], r#"{"a":1,"a":2}"#, "not-json"),
        (INVOKE, vec![TENANT], r#"{"tool":"other"}"#, "bad-request"),
        (
            INVOKE,
            vec![TENANT, ("idempotency-key", "a b")],
            "{}",
            "bad-request",
        ),
        (
            INVOKE,
            vec![TENANT, ("accept", "image/png")],
            "{}",
            "not-acceptable",
        ),
        (INVOKE, vec![("mesh-tenant", "lonely")], "{}", "not-found"),
        ("/v1/agents/none/invoke", vec![TENANT], "{}", "not-found"),
        ("/v1/agents/%FF/invoke", vec![TENANT], "{}", "not-found"),
        (
            INVOKE,
            vec![TENANT, ("idempotency-key", "k")],
            r#"{"arguments":{"mood":"bad"}}"#,
            "policy-denied",
        ),
        // A no is not remembered: the key is as new.
        (
            INVOKE,
            vec![TENANT, ("idempotency-key", "k")],
            r#"{"arguments":{"mood":"bad"}}"#,
            "policy-denied",
        ),
    ] {
        let answer = post(path, headers, body).await;
        assert_eq!(answer.problem(), problem, "{body}: {}", answer.text);
    }
    assert!(bench.events::<Executions>().await.is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_open_what_is_their_tenant_s_and_nothing_else() {
    let bench = bench("gateway_identity").await;
    let ours = key(&bench, "acme", "ours", &["read", "invoke"]).await;
    let theirs = key(&bench, "lonely", "theirs", &["*"]).await;
    let narrow = key(&bench, "acme", "narrow", &["read"]).await;
    let gateway = bench
        .start_with(|settings| settings.identity.required = true)
        .await;
    let bearer = |key: &Minted| format!("Bearer {}", key.text);
    let (ours, theirs, narrow) = (bearer(&ours), bearer(&theirs), bearer(&narrow));

    // Webhooks show signatures, not keys.
    let delivered = gateway.deliver("msg_1", r#"{"event_type":"t"}"#).await;
    assert_eq!(delivered.status, StatusCode::ACCEPTED);
    let url = delivered.json()["status_url"].as_str().unwrap().to_owned();
    let get = |path: String, key: Option<String>| {
        let gateway = &gateway;
        async move {
            let key = key.map(|key| key.to_owned());
            let headers: Vec<_> = key
                .iter()
                .map(|key| ("authorization", key.as_str()))
                .collect();
            call(gateway, Method::GET, &path, &headers, "").await
        }
    };
    let audit = bench.follow(AuditProjection::new(bench.schemas.clone()));
    let seen = eventually(PATIENCE, || async {
        let seen = get(url.clone(), Some(ours.clone())).await;
        (seen.status == StatusCode::OK).then_some(seen)
    });
    assert_eq!(seen.await.unwrap().json()["delivery_id"], "msg_1");
    // What is another tenant's is not there, and looks like what is nowhere.
    let foreign = get(url.clone(), Some(theirs.clone())).await;
    let nowhere = "/v1/deliveries/2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7d".to_owned();
    let nowhere = get(nowhere, Some(theirs.clone())).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    assert_eq!(foreign.text, nowhere.text);
    let anonymous = get(url.clone(), None).await;
    let wrong = get(url, Some("Bearer amk_ours_0".to_owned())).await;
    assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED);
    assert_eq!(anonymous.text, wrong.text);

    for (headers, problem) in [
        (
            vec![("authorization", narrow.as_str())],
            "insufficient-scope",
        ),
        (vec![("authorization", theirs.as_str())], "not-found"),
        (
            vec![("authorization", theirs.as_str()), TENANT],
            "not-authentic",
        ),
        (vec![TENANT], "not-authentic"),
    ] {
        let answer = call(&gateway, Method::POST, INVOKE, &headers, "{}").await;
        assert_eq!(answer.problem(), problem);
    }
    let headers = [
        ("authorization", ours.as_str()),
        ("prefer", "respond-async"),
    ];
    let answer = call(&gateway, Method::POST, INVOKE, &headers, "{}").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let request = &asked(&bench, 1).await[0];
    let actor = request.meta.actor.as_ref().unwrap();
    assert_eq!(actor.as_str(), "key:ours/ours-user");
    let decided = bench.decisions().await;
    let inputs: Vec<Value> = decided
        .iter()
        .map(|decision| {
            let domain_policy::PolicyEvent::Decided(decided) = &decision.event;
            serde_json::from_str(decided.input.as_str()).unwrap()
        })
        .collect();
    assert!(
        inputs
            .iter()
            .any(|input| input["caller"]["subject"] == "ours-user")
    );

    // When it was used last is written down behind the answers.
    let redis = Redis::connect(&bench.settings.redis).await.unwrap();
    audit.cancel();
    gateway.stop().await;
    assert!(redis.get("key-used:ours").await.unwrap().is_some());
    assert!(redis.get("key-used:nobody").await.unwrap().is_none());
}

async fn post_batch(gateway: &Running, id: &str, media: &str, body: &str) -> Answer {
    let (timestamp, signature) = sign(SECRET, id, now(), body);
    let headers = [
        ("content-type", media),
        ("webhook-id", id),
        ("webhook-timestamp", &timestamp.to_string()),
        ("webhook-signature", &signature),
    ];
    gateway
        .post("zapier/batch", &headers, body.as_bytes())
        .await
}

fn outcomes(answer: &Answer) -> Vec<(String, u64)> {
    answer.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let outcome = item["outcome"].as_str().unwrap().to_owned();
            (outcome, item["status"].as_u64().unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_many_deliveries_each_with_a_result_of_its_own() {
    let bench = Bench::new("gateway_batch").await;
    let gateway = bench.start().await;
    let lines = "{\"event_type\":\"t\",\"subject\":\"ada\"}\n\n{\"event_type\":\"t\",\"subject\":\"evil\"}\r\n{\"event_type\":\"t\",\"n\":3}";
    let first = post_batch(&gateway, "b-1", "application/x-ndjson", lines).await;
    assert_eq!(first.status, StatusCode::MULTI_STATUS, "{}", first.text);
    let of = |outcome: &str, status| (outcome.to_owned(), status);
    assert_eq!(
        outcomes(&first),
        [of("accepted", 202), of("refused", 403), of("accepted", 202)]
    );
    let again = post_batch(&gateway, "b-1", "application/x-ndjson", lines).await;
    assert_eq!(
        outcomes(&again),
        [of("replayed", 202), of("refused", 403), of("replayed", 202)]
    );
    // Another line under the same ids.
    let altered = lines.replace("ada", "eve");
    let altered = post_batch(&gateway, "b-1", "application/x-ndjson", &altered).await;
    assert_eq!(outcomes(&altered)[0], of("refused", 422));

    // One line is what it would be alone: sent to both addresses, it is one.
    let one = r#"{"event_type":"t","alone":true}"#;
    let batch = post_batch(&gateway, "b-0", "application/x-ndjson", one).await;
    assert_eq!(outcomes(&batch), [of("accepted", 202)]);
    assert!(gateway.deliver("b-0", one).await.is_replayed());

    // Events that say which they are, also within another batch.
    let event = |id: &str| json!({"specversion": "1.0", "id": id, "source": "/shop", "type": "order", "data": {"id": id}});
    let events = json!([event("1"), event("2")]).to_string();
    let media = "application/cloudevents-batch+json";
    let first = post_batch(&gateway, "b-2", media, &events).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text);
    let events = json!([event("2"), event("3"), event("3")]).to_string();
    let second = post_batch(&gateway, "b-3", media, &events).await;
    assert_eq!(
        outcomes(&second),
        [of("replayed", 202), of("accepted", 202), of("refused", 409)]
    );

    for (media, body, problem) in [
        ("application/json", "{}", "unsupported-media-type"),
        ("application/x-ndjson", "", "not-json"),
        ("application/x-ndjson", "{}\n{", "not-json"),
        (media, "{}", "not-json"),
        (media, "[]", "not-json"),
        (media, r#"[{"id":"1"}]"#, "not-json"),
    ] {
        let answer = post_batch(&gateway, "b-4", media, body).await;
        assert_eq!(answer.problem(), problem, "{body}: {}", answer.text);
    }
    let unsigned = gateway
        .post("zapier/batch", &[("content-type", media)], b"[]")
        .await;
    assert_eq!(unsigned.problem(), "not-authentic");

    let accepted: Vec<_> = bench
        .deliveries()
        .await
        .into_iter()
        .filter_map(|recorded| match recorded.event {
            DeliveryEvent::Accepted(accepted) => Some(accepted),
            DeliveryEvent::Refused(_) => None,
        })
        .collect();
    let mut ids: Vec<_> = accepted.iter().map(|d| d.delivery_id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(
        ids,
        ["/shop#1", "/shop#2", "/shop#3", "b-0", "b-1/1", "b-1/4"]
    );
    let order = accepted
        .iter()
        .find(|d| d.delivery_id == "/shop#1")
        .unwrap();
    assert_eq!(order.event_type, "order");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_not_longer_than_it_may_be() {
    let bench = Bench::new("gateway_batch_long").await;
    let gateway = bench
        .start_with(|settings| settings.gateway.batch_max_events = 3)
        .await;
    let lines = "{}\n".repeat(4);
    let answer = post_batch(&gateway, "b-1", "application/x-ndjson", &lines).await;
    assert_eq!(answer.problem(), "batch-too-long");
    assert_eq!(answer.json()["limit_events"], 3);
    gateway.stop().await;
}

/// Redis loses everything while the same keys are asked under again and again.
#[tokio::test(flavor = "multi_thread")]
async fn flushing_redis_under_load_changes_nothing_but_speed() {
    const FLUSH: Script = Script::new(
        "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end return 1",
    );
    let bench = bench("gateway_invoke_flush").await;
    let gateway = bench.start().await;
    let redis = Redis::connect(&bench.settings.redis).await.unwrap();
    let pattern = format!("{}*", bench.settings.redis.key_prefix).into_bytes();
    let ask = |number: usize| {
        let gateway = &gateway;
        async move {
            let id = format!("k-{}", number % 20);
            let headers = [
                TENANT,
                ("prefer", "respond-async"),
                ("idempotency-key", &id),
            ];
            let answer = call(gateway, Method::POST, INVOKE, &headers, "{}").await;
            // Those that meet one in flight come again.
            assert!(
                matches!(answer.status.as_u16(), 202 | 409),
                "{}",
                answer.text
            );
        }
    };
    let load = async {
        for round in 0..10 {
            futures::future::join_all((0..20).map(|n| ask(round * 20 + n))).await;
        }
    };
    let flushing = async {
        loop {
            let flushed: Result<i64, _> = redis.eval(&FLUSH, &[], vec![pattern.clone()]).await;
            flushed.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = load => {}
        () = flushing => {}
    }
    assert_eq!(bench.events::<Executions>().await.len(), 20);
    gateway.stop().await;
}

/// The table of answers is looked through at the start of a gateway.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_given_again_for_a_week_and_kept_for_eight_days() {
    const AGE: &str = "UPDATE gateway.answer SET claimed_at = now() - $1::int4 * interval '1 day' WHERE body_sha256 <> ''";
    /// One that nobody asks for, whose end shows that the old were purged.
    const MARK: &str = "
        INSERT INTO gateway.answer (key, body_sha256, claimed_at, leased_until)
        VALUES ('mark', '', now() - interval '9 days', now())";
    const MARKED: &str = "SELECT FROM gateway.answer WHERE key = 'mark'";
    let bench = bench("gateway_answers_age").await;
    let redis = Redis::connect(&bench.settings.redis).await.unwrap();
    let pool = Pool::connect(&bench.settings.postgres).unwrap();
    let headers = [
        TENANT,
        ("prefer", "respond-async"),
        ("idempotency-key", "k-1"),
    ];
    let mut gateway = bench.start().await;
    let first = call(&gateway, Method::POST, INVOKE, &headers, "{}").await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text);
    for (days, kept) in [(7_i32, true), (9, false)] {
        gateway.stop().await;
        let client = pool.get().await.unwrap();
        assert_eq!(client.execute(AGE, &[&days]).await.unwrap(), 1);
        client.execute(MARK, &[]).await.unwrap();
        // Only the first answer is there: one of Postgres's is not put into it.
        let names = redis.scan("answer:").await.unwrap();
        if !names.is_empty() {
            redis.delete(&names).await.unwrap();
        }
        gateway = bench.start().await;
        eventually(PATIENCE, || async {
            let marked = client.query_opt(MARKED, &[]).await.unwrap();
            marked.is_none().then_some(())
        })
        .await
        .unwrap();
        let again = call(&gateway, Method::POST, INVOKE, &headers, "{}").await;
        assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.text);
        assert_eq!(again.is_replayed(), kept, "after {days} days");
        // Its ids follow from the key, so it is the same question all the same.
        assert_eq!(again.json()["execution_id"], first.json()["execution_id"]);
    }
    gateway.stop().await;
}
