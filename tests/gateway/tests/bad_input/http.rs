//! B19–B21, B24, B38, B40, B41, B44, B47: what is wrong with the request.

use tests_gateway::{Case, Expect, Ground, Kept, Request, body};

pub(crate) fn cases(ground: &Ground) -> Vec<Case> {
    let delivery = |name: &str| ground.delivery(name, &body(name));
    let limit = ground.settings.gateway.max_body_bytes;
    let too_large = Expect::problem(413, "too-large");
    let unread = Expect::problem(415, "unsupported-media-type");
    let nothing = Kept::Nothing;

    let mut oversized = delivery("b19");
    oversized.body = vec![b'x'; limit + 1];
    let mut declared = delivery("b19-declared").add("content-length", "1099511627776");
    declared.with_length = false;
    let mut types = Case::new(24, "content type wrong, missing, twice, not UTF-8");
    for (n, value) in [
        "text/plain",
        "application/json; charset=utf-16",
        "multipart/form-data",
    ]
    .iter()
    .enumerate()
    {
        let request = delivery(&format!("b24-{n}")).set("content-type", value);
        types = types.step(*value, request, unread, nothing);
    }
    types = types
        .step(
            "missing",
            delivery("b24-none").without("content-type"),
            unread,
            nothing,
        )
        .step(
            "twice",
            delivery("b24-twice").add("content-type", "application/json"),
            unread,
            nothing,
        )
        .step(
            "a form, from whom none is due",
            delivery("b24-form").set("content-type", "application/x-www-form-urlencoded"),
            unread,
            nothing,
        );
    let mut methods = Case::new(40, "GET, PUT, HEAD, DELETE");
    for method in ["GET", "PUT", "DELETE"] {
        let expect = Expect::problem(405, "method-not-allowed");
        methods = methods.step(method, delivery("b40").by(method), expect, nothing);
    }
    methods = methods.step(
        "HEAD",
        delivery("b40").by("HEAD"),
        Expect::bare(405),
        nothing,
    );

    vec![
        Case::new(19, "body over the limit, by `Content-Length`")
            .step("sent", oversized, too_large, nothing)
            .step("declared, 1 TiB", declared, too_large, nothing),
        Case::new(20, "chunked body over the limit").bytes(
            "chunks",
            chunked(&delivery("b20"), limit + 1),
            too_large,
        ),
        bomb(ground, unread),
        types,
        traces(ground),
        methods,
        Case::new(41, "path traversal, encoded slash")
            .step(
                "%2f",
                delivery("b41-0").to("/hooks/..%2f..%2fstrict"),
                Expect::NOT_AUTHENTIC,
                nothing,
            )
            .step(
                "..",
                delivery("b41-1").to("/hooks/../hooks/strict"),
                Expect::problem(404, "not-found"),
                nothing,
            )
            .step(
                "/",
                delivery("b41-2").to("/hooks/strict/x"),
                Expect::problem(404, "not-found"),
                nothing,
            )
            .step(
                "%00",
                delivery("b41-3").to("/hooks/strict%00"),
                Expect::NOT_AUTHENTIC,
                nothing,
            )
            .step(
                "%ff",
                delivery("b41-4").to("/hooks/%ff"),
                Expect::NOT_AUTHENTIC,
                nothing,
            ),
        headers(&delivery("b44")),
        expecting(ground),
    ]
}

fn chunked(request: &Request, bytes: usize) -> Vec<u8> {
    let mut request = request.clone().add("transfer-encoding", "chunked");
    request.with_length = false;
    let mut sent = request.head();
    let chunk = vec![b'x'; 65_536];
    for _ in 0..=bytes / chunk.len() {
        sent.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        sent.extend_from_slice(&chunk);
        sent.extend_from_slice(b"\r\n");
    }
    sent.extend_from_slice(b"0\r\n\r\n");
    sent
}

/// 64 MiB of zeros: `head -c 64M /dev/zero | gzip -9n`.
const BOMB: &[u8] = include_bytes!("zeros-64-mib.gz");

/// Some kilobytes, properly signed, that unpacked are four times what a row may
/// take.
fn bomb(ground: &Ground, unread: Expect) -> Case {
    let (_, unpacked) = BOMB.split_last_chunk().unwrap();
    assert_eq!(u32::from_le_bytes(*unpacked), 64 << 20);
    assert!(
        BOMB.starts_with(b"\x1f\x8b\x08") && BOMB.len() < ground.settings.gateway.max_body_bytes
    );
    let plain = body("b21");
    let mut case = Case::new(
        21,
        "`Content-Encoding`: gzip of 64 MiB of zeros, the same called `deflate, gzip`; br, one nobody knows",
    );
    for (encoding, body) in [
        ("gzip", BOMB),
        ("deflate, gzip", BOMB),
        ("br", &plain),
        ("snappy", &plain),
    ] {
        let request = ground
            .delivery(&format!("b21 {encoding}"), body)
            .set("content-encoding", encoding);
        case = case.step(encoding, request, unread, Kept::Nothing);
    }
    case
}

fn traces(ground: &Ground) -> Case {
    let mut case = Case::new(38, "`traceparent` malformed or all zero, 8 kB of `baggage`");
    for (n, value) in [
        "00-xyz",
        "00-00000000000000000000000000000000-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ]
    .iter()
    .enumerate()
    {
        let name = format!("b38-{n}");
        let request = ground
            .delivery(&name, &body(&name))
            .add("traceparent", value);
        case = case.step(*value, request, Expect::ACCEPTED, Kept::Delivery);
    }
    let baggage = format!("k={}", "v".repeat(8_192));
    let request = ground
        .delivery("b38-bag", &body("b38-bag"))
        .add("baggage", baggage);
    case.step("baggage", request, Expect::ACCEPTED, Kept::Delivery)
}

fn headers(request: &Request) -> Case {
    let mut many = request.clone();
    for n in 0..120 {
        many = many.add(&format!("x-{n}"), "1");
    }
    let large = request.clone().add("x-large", "x".repeat(70_000));
    Case::new(44, "more than 100 headers, a header of 70 kB")
        .step("many", many, Expect::bare(431), Kept::Nothing)
        .step(
            "large",
            large,
            Expect::problem(431, "headers-too-large"),
            Kept::Nothing,
        )
}

fn expecting(ground: &Ground) -> Case {
    let bad = ground
        .delivery("b47", &body("b47"))
        .set("webhook-signature", "v1,AAAA")
        .add("expect", "100-continue");
    let mut large = bad.clone().add("content-length", "99999999");
    large.with_length = false;
    large.body = Vec::new();
    Case::new(
        47,
        "`Expect: 100-continue` with a bad signature, and over the limit",
    )
    .step("bad", bad, Expect::NOT_AUTHENTIC, Kept::Refusal)
    .bytes("large", large.head(), Expect::problem(413, "too-large"))
}
