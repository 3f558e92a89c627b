//! Headers, and the requests around them: whatever a stranger sends, nothing
//! panics, nothing is read in two ways, and what is taken reads the same when it is
//! written again.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use domain_kernel::TenantId;
use platform_config::{Secret, Settings};
use platform_http::Limits;
use platform_http::axum::Router;
use platform_http::axum::body::to_bytes;
use platform_http::axum::extract::Request;
use platform_http::axum::http::{HeaderMap, HeaderName, HeaderValue};
use platform_http::fuzzing::{answers, client_address};
use platform_identity::{
    Asking, Directory, Identity, KnownCertificate, KnownIssuer, KnownKey, protect,
};
use platform_telemetry::valid_traceparent;
use serde_json::Value;
use services_gateway::fuzzing::{
    Ask, IdempotencyKey, Wanted, batch, content_type, declared_length, parse,
};
use tokio::runtime::{Builder, Runtime};

/// The credentials that open anything.
const ROOT: &str = "the root key of the corpus";
const KEY: &str = "amk_k-1_c0ffee";
/// Of `c0ffee`.
const SECRET_SHA256: &str = "fb0288872031fc4818c03a7253bd3a78de192d05e6bccd09ceabeda65b4d7c6f";
const DELIVERIES: usize = 8;
const BODY_BYTES: usize = 4_096;

/// Header lines, an empty line, and a body.
pub fn headers(data: &[u8]) {
    let end = data.windows(2).position(|two| two == b"\n\n");
    let (lines, body) = match end {
        Some(end) => (&data[..end], &data[end + 2..]),
        None => (data, &[][..]),
    };
    let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').take(100).collect();
    let mut headers = HeaderMap::new();
    for line in &lines {
        let (name, value) = halves(line);
        let name = HeaderName::from_bytes(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    forwarded(&headers);
    idempotency(&headers);
    wanted(&headers);
    for value in &headers.get_all("traceparent") {
        traceparent(value.to_str().unwrap_or_default());
    }
    if let Ok(content_type) = content_type(&headers) {
        assert!(content_type.is_ascii() && !content_type.is_empty());
    }
    json(body);
    deliveries(&headers, body);
    thread_local! {
        static SERVER: Server = Server::new();
    }
    SERVER.with(|server| {
        server.framing(&lines, body);
        if headers.contains_key("authorization") {
            server.credential(&headers);
        }
    });
}

fn halves(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b':') {
        Some(colon) => (&line[..colon], &line[colon + 1..]),
        None => (line, &[]),
    }
}

fn appended(headers: &HeaderMap, name: &'static str, value: &str) -> HeaderMap {
    let mut more = headers.clone();
    more.append(name, value.parse().expect("a header's value"));
    more
}

/// `X-Forwarded-For` is believed from those who are trusted, and no further.
fn forwarded(headers: &HeaderMap) {
    const NAME: &str = "x-forwarded-for";
    let trusted = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().expect("a network"));
    let proxy = IpAddr::from([10, 0, 0, 1]);
    let stranger = IpAddr::from([203, 0, 113, 7]);
    assert_eq!(client_address(stranger, headers, &trusted), stranger);
    assert_eq!(client_address(proxy, headers, &[]), proxy);
    let client = client_address(proxy, headers, &trusted);
    assert_eq!(client, client.to_canonical(), "one address has one form");
    let again = appended(&HeaderMap::new(), NAME, &client.to_string());
    assert_eq!(client_address(proxy, &again, &trusted), client);
    // Whom the last proxy saw is who asks, whatever was there before.
    let seen = appended(headers, NAME, &stranger.to_string());
    assert_eq!(client_address(proxy, &seen, &trusted), stranger);
    // One more proxy on the way changes nothing, unless it is all that is known.
    let other = appended(headers, NAME, "10.9.9.9");
    let known = client_address(proxy, &other, &trusted);
    assert!(known == client || (client, known) == (proxy, IpAddr::from([10, 9, 9, 9])));
}

fn idempotency(headers: &HeaderMap) {
    const NAME: &str = "idempotency-key";
    let given = headers.get_all(NAME).iter().count();
    let Ok(key) = IdempotencyKey::of(headers) else {
        assert!(given > 0, "none is no wrong one");
        return;
    };
    assert_eq!(given, usize::from(key.is_some()), "of two none counts");
    let Some(key) = key else {
        return;
    };
    let text = key.as_str();
    assert!((1..=255).contains(&text.len()));
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
    for written in [text.to_owned(), format!("\"{text}\"")] {
        let again = IdempotencyKey::of(&appended(&HeaderMap::new(), NAME, &written));
        assert_eq!(again, Ok(Some(key.clone())));
    }
    assert!(IdempotencyKey::of(&appended(headers, NAME, text)).is_err());
}

/// `Prefer` and `Accept`.
fn wanted(headers: &HeaderMap) {
    let Ok(wanted) = Wanted::of(headers) else {
        assert!(headers.contains_key("accept"));
        // Whoever takes anything gets an answer.
        assert!(Wanted::of(&appended(headers, "accept", "*/*")).is_ok());
        return;
    };
    let mut again = HeaderMap::new();
    if wanted.respond_async {
        again = appended(&again, "prefer", "respond-async");
    }
    if let Some(wait) = wanted.wait {
        again = appended(&again, "prefer", &format!("wait={}", wait.as_secs()));
        let later = appended(headers, "prefer", "wait=7");
        assert_eq!(Wanted::of(&later), Ok(wanted), "the first one counts");
    }
    if wanted.events {
        again = appended(&again, "accept", "text/event-stream");
    }
    assert_eq!(Wanted::of(&again), Ok(wanted));
    // What is quoted is no preference, and what is not acceptable is not sent.
    for (name, value) in [
        ("prefer", r#"x="a, respond-async, \", wait=5""#),
        ("prefer", "wait=soon"),
        ("accept", "*/*, text/event-stream; q=0.0"),
    ] {
        assert_eq!(Wanted::of(&appended(headers, name, value)), Ok(wanted));
    }
}

fn traceparent(text: &str) {
    if !valid_traceparent(text) {
        return;
    }
    assert!(text.len() >= 55);
    assert!(text.len() == 55 || !text.starts_with("00"));
    let text = format!("00{}", &text[2..55]);
    assert!(valid_traceparent(&text));
    let capital = text.to_ascii_uppercase();
    assert_eq!(valid_traceparent(&capital), capital == text);
}

fn json(body: &[u8]) {
    let Ok(value) = parse(body) else {
        return;
    };
    // Whoever reads it otherwise reads the same.
    assert_eq!(
        serde_json::from_slice::<Value>(body).ok(),
        Some(value.clone())
    );
    assert!(depth(&value) <= 64);
    let written = serde_json::to_vec(&value).expect("JSON");
    let again = parse(&written).expect("JSON as we write it");
    // The last digit of a fraction may not outlive being written.
    assert!(again == value || written.contains(&b'.') || written.contains(&b'e'));
    if let Some(key) = value.as_object().and_then(|members| members.keys().next()) {
        let mut twice = written.clone();
        twice.pop();
        let key = Value::from(key.as_str());
        twice.extend(format!(",{key}:null}}").into_bytes());
        assert!(parse(&twice).is_err(), "a key twice is two answers");
    }
    let Ok(ask) = Ask::read(value) else {
        return;
    };
    assert!(!ask.arguments.contains_key("history"));
    assert!((1..=63).contains(&ask.space.len()));
    for (name, longest) in [(&ask.tool, 128), (&ask.subject, 256)] {
        let length = name.as_ref().map_or(1, String::len);
        assert!((1..=longest).contains(&length));
    }
    let deadline = ask.deadline.unwrap_or(Duration::from_secs(1));
    assert!((100..=3_600_000).contains(&deadline.as_millis()));
    let written = serde_json::json!({
        "tool": ask.tool, "arguments": ask.arguments, "space": ask.space,
        "subject": ask.subject, "deadline_ms": ask.deadline.map(|deadline| deadline.as_millis() as u64),
    });
    assert_eq!(Ask::read(written), Ok(ask));
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// However a body is split, it is split into what it has, in its order.
fn deliveries(headers: &HeaderMap, body: &[u8]) {
    let Ok(items) = batch(headers, &Bytes::copy_from_slice(body), DELIVERIES) else {
        return;
    };
    assert!((1..=DELIVERIES).contains(&items.len()));
    let mut rest = body;
    for (id, bytes, parsed) in items {
        assert!(!id.is_empty());
        assert_eq!(parse(&bytes), Ok(parsed));
        let place = rest.windows(bytes.len()).position(|part| part == bytes);
        rest = &rest[place.expect("a part of the body") + bytes.len()..];
    }
}

#[derive(Debug)]
struct Registered;

impl Directory for Registered {
    fn is_complete(&self) -> bool {
        true
    }

    fn key(&self, id: &str) -> Option<KnownKey> {
        (id == "k-1").then(|| KnownKey {
            id: id.to_owned(),
            tenant: TenantId::new("acme"),
            subject: "ada".to_owned(),
            scopes: Vec::new(),
            secret_sha256: SECRET_SHA256.to_owned(),
            expires_at: None,
        })
    }

    fn issuers(&self, _: &str) -> Vec<KnownIssuer> {
        Vec::new()
    }

    fn certificates(&self, _: &str) -> Vec<KnownCertificate> {
        Vec::new()
    }
}

/// A request as a handler saw it; no body where it did not arrive.
#[derive(Debug)]
struct Seen {
    headers: HeaderMap,
    body: Option<Bytes>,
}

struct Server {
    runtime: Runtime,
    limits: Limits,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Takes whatever comes.
    open: Router,
    /// Answers whoever shows a credential with the subject.
    closed: Router,
}

impl Server {
    fn new() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = seen.clone();
        let open = Router::new().fallback(move |request: Request| {
            let noted = noted.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, BODY_BYTES).await.ok();
                let headers = parts.headers;
                let mut noted = noted.lock().expect("no panic before");
                noted.push(Seen { headers, body });
            }
        });
        let mut settings = Settings::defaults().expect("settings").identity;
        settings.required = true;
        settings.root_key = Some(Secret::new(ROOT));
        let identity = Identity::new(&settings, Registered).expect("an identity");
        let closed = Router::new().fallback(|asking: Asking| async move {
            let caller = asking.0.map(|caller| caller.subject);
            caller.unwrap_or_default()
        });
        Self {
            runtime: Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime"),
            limits: Limits {
                header_bytes: 8_192,
                body_bytes: BODY_BYTES,
                ..Limits::default()
            },
            seen,
            open,
            closed: protect(closed, &identity),
        }
    }

    fn answers(&self, router: &Router, request: &[u8], piece: usize) -> Vec<u8> {
        let answers = answers(router.clone(), self.limits.clone(), request, piece);
        self.runtime.block_on(answers)
    }

    /// A request that a handler sees has one length, and that much of a body.
    fn framing(&self, lines: &[&[u8]], body: &[u8]) {
        let mut request = b"POST / HTTP/1.1\r\nHost: x\r\n".to_vec();
        for line in lines.iter().filter(|line| !line.is_empty()) {
            request.extend_from_slice(line);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        let piece = [7, 100, 16_384][request.len() % 3];
        let answers = self.answers(&self.open, &request, piece);
        let seen = std::mem::take(&mut *self.seen.lock().expect("no panic before"));
        let answers = answers
            .strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n")
            .unwrap_or(&answers);
        let Some(first) = seen
            .first()
            .filter(|_| answers.starts_with(b"HTTP/1.1 200"))
        else {
            return;
        };
        let of = |wanted: &str| -> Vec<String> {
            let halves = lines.iter().map(|line| halves(line));
            let values = halves.filter(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
            values
                .map(|(_, value)| String::from_utf8_lossy(value).trim().to_ascii_lowercase())
                .collect()
        };
        let (lengths, codings) = (of("content-length"), of("transfer-encoding"));
        assert!(lengths.is_empty() || codings.is_empty(), "two lengths");
        if let Some(last) = codings.last() {
            assert!(last.ends_with("chunked"), "an end that nobody knows");
        }
        let declared = declared_length(&first.headers);
        for length in &lengths {
            assert!(length.bytes().all(|byte| byte.is_ascii_digit()));
            assert_eq!(length.parse().ok(), declared, "one length");
        }
        if let Some(arrived) = &first.body
            && codings.is_empty()
        {
            let length = declared.unwrap_or(0);
            assert_eq!(arrived.len() as u64, length);
            assert!(body.starts_with(arrived));
        }
    }

    /// Only who shows one credential, and the right one, is let through.
    fn credential(&self, headers: &HeaderMap) {
        let mut request = b"GET / HTTP/1.1\r\nHost: x\r\n".to_vec();
        for value in &headers.get_all("authorization") {
            request.extend_from_slice(b"Authorization: ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let answers = self.answers(&self.closed, &request, 16_384);
        let expected = believed(headers);
        if answers.starts_with(b"HTTP/1.1 200") {
            let subject = expected.expect("a credential of somebody");
            assert!(answers.ends_with(subject.as_bytes()));
        } else {
            assert!(expected.is_none() || request.len() > 4_096);
        }
    }
}

/// Who shows what opens, as the documentation has it.
fn believed(headers: &HeaderMap) -> Option<&'static str> {
    let mut values = headers.get_all("authorization").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, credential) = value.to_str().ok()?.trim().split_once(' ')?;
    match (scheme.to_ascii_lowercase().as_str(), credential.trim()) {
        ("bearer", ROOT) => Some("root"),
        ("bearer", KEY) => Some("ada"),
        _ => None,
    }
}
