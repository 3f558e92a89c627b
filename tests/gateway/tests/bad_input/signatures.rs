//! B1–B15, B43: what is wrong with the signature.

use tests_gateway::{Case, Expect, GRACE_OVER, Ground, Kept, OTHER_SECRET, body, now, sign};

const SIGNATURE: &str = "webhook-signature";

pub(crate) fn cases(ground: &Ground) -> Vec<Case> {
    let at = now().to_string();
    let mac = |id: &str, body: &[u8]| {
        let signed = sign(tests_gateway::SECRET, id, &at, body);
        signed["v1,".len()..].to_owned()
    };
    // A delivery of this case, with another signature header.
    let with = |case: &str, signature: &dyn Fn(&str) -> String| {
        let body = body(case);
        let request = ground.signed(tests_gateway::SECRET, case, &at, &body);
        request.set(SIGNATURE, signature(&mac(case, &body)))
    };
    let no = (Expect::NOT_AUTHENTIC, Kept::Refusal);
    let refused = |row: u8, what: &'static str, variants: &[&dyn Fn(&str) -> String]| {
        let mut case = Case::new(row, what);
        for (n, variant) in variants.iter().enumerate() {
            let name = format!("b{row}-{n}");
            case = case.step(name.clone(), with(&name, variant), no.0, no.1);
        }
        case
    };
    let mut cases = out_of_time(ground);
    cases.extend([
        Case::new(1, "no signature headers").step(
            "none",
            ["webhook-id", "webhook-timestamp", SIGNATURE]
                .iter()
                .fold(ground.delivery("b1", &body("b1")), |request, name| {
                    request.without(name)
                }),
            no.0,
            no.1,
        ),
        refused(
            2,
            "empty `webhook-signature`",
            &[&|_| String::new(), &|_| " ".to_owned()],
        ),
        refused(3, "`v1=` instead of `v1,`", &[&|mac| format!("v1={mac}")]),
        refused(
            4,
            "invalid base64",
            &[&|_| "v1,****".to_owned(), &|mac| {
                format!("v1,{}!", &mac[1..])
            }],
        ),
        refused(
            5,
            "right MAC, wrong length or padding",
            &[
                &|mac| format!("v1,{}", mac.trim_end_matches('=')),
                &|mac| format!("v1,{mac}="),
                &|mac| format!("v1,{}", &mac[..40]),
                &|mac| format!("v1,{mac}{mac}"),
            ],
        ),
        Case::new(6, "MAC with another tenant's secret").step(
            "theirs",
            ground.signed(OTHER_SECRET, "b6", &at, &body("b6")),
            no.0,
            no.1,
        ),
        Case::new(7, "50 signatures, the last one valid; 65 of them")
            .step(
                "50",
                with("b7", &|mac| format!("{}v1,{mac}", "v1,AAAA ".repeat(49))),
                Expect::ACCEPTED,
                Kept::Delivery,
            )
            .step(
                "65",
                with("b7-65", &|mac| format!("{}v1,{mac}", "v1,AAAA ".repeat(64))),
                no.0,
                no.1,
            ),
        refused(
            8,
            "only the unknown version `v9,`",
            &[&|mac| format!("v9,{mac}")],
        ),
        Case::new(43, "a secret whose grace period is over").step(
            "former",
            ground.signed(GRACE_OVER, "b43", &at, &body("b43")),
            no.0,
            no.1,
        ),
    ]);

    let mut altered = ground.delivery("b9", &body("b9"));
    altered.body[30] ^= 1;
    cases.push(Case::new(9, "one byte of the body changed").step("bit", altered, no.0, no.1));
    let mut again = ground.delivery("b10", &body("b10"));
    let value: serde_json::Value = serde_json::from_slice(&again.body).unwrap();
    again.body = serde_json::to_vec_pretty(&value).unwrap();
    cases.push(Case::new(10, "the same JSON, serialised anew").step("pretty", again, no.0, no.1));

    let mut times = Case::new(
        13,
        "timestamp no number, negative, float, 20 digits, milliseconds",
    );
    for (n, timestamp) in [
        "yesterday".to_owned(),
        format!("-{at}"),
        format!("{at}.0"),
        "17000000000000000000".to_owned(),
        format!("{at}000"),
        format!("+{at}"),
        String::new(),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("b13-{n}");
        let request = ground.signed(tests_gateway::SECRET, &name, &timestamp, &body(&name));
        times = times.step(timestamp, request, no.0, no.1);
    }
    cases.push(times);
    let twice = ground.delivery("b14", &body("b14"));
    cases.push(
        Case::new(14, "`webhook-id` twice, the same and another")
            .step("same", twice.clone().add("webhook-id", "b14"), no.0, no.1)
            .step("other", twice.add("webhook-id", "b14-other"), no.0, no.1),
    );
    cases.push(ids(ground, &at));
    cases
}

/// Just beyond the 300 s that are allowed. These go first, because time passes
/// until they are sent: two seconds may, for the one from the future.
fn out_of_time(ground: &Ground) -> Vec<Case> {
    let of = |row: u8, what: &'static str, offset: i64| {
        let name = format!("b{row}");
        let timestamp = (now() + offset).to_string();
        let request = ground.signed(tests_gateway::SECRET, &name, &timestamp, &body(&name));
        Case::new(row, what).step(timestamp, request, Expect::NOT_AUTHENTIC, Kept::Refusal)
    };
    vec![
        of(11, "signed 301 s ago", -301),
        of(12, "signed 303 s from now, 300 s being allowed", 303),
    ]
}

fn ids(ground: &Ground, at: &str) -> Case {
    let mut case = Case::new(
        15,
        "id with `.`, NUL, CR LF, CR LF and a header, 10 kB, an emoji",
    );
    // With the last one the sender signs the whole, and the request has one header
    // more and an id that ends before it.
    for (n, id) in [
        "b15.dot",
        &"x".repeat(10_240),
        "b15 \u{1F600}",
        "b15\r\nX-Injected: 1",
    ]
    .iter()
    .enumerate()
    {
        let name = format!("b15-{n}");
        let request = ground.signed(tests_gateway::SECRET, id, at, &body(&name));
        case = case.step(name, request, Expect::NOT_AUTHENTIC, Kept::Refusal);
    }
    // These are no header values: the request is not one.
    for (n, id) in ["b15\0nul", "b15\r\nwebhook id: x"].iter().enumerate() {
        let name = format!("b15-bare-{n}");
        let request = ground.signed(tests_gateway::SECRET, id, at, &body(&name));
        case = case.step(name, request, Expect::bare(400), Kept::Nothing);
    }
    case
}
