//! B22: a request in the body of another. Two readers that disagree where a body
//! ends would see different requests.

use std::collections::BTreeMap;

use tests_gateway::{Ground, Kept, Request, Row, answers, body};

use crate::{OnTheLog, counted, note};

/// Headers of the outer request, by what goes over the wire behind its head.
type Framing = fn(&str) -> Vec<(&'static str, String)>;

/// Each says two things of where the body ends, and by one of them a request
/// follows.
const FRAMINGS: [(&str, Wrapping, Framing); 6] = [
    ("chunks, and a length of all", Wrapping::Behind, |sent| {
        vec![chunked(), ("content-length", sent.len().to_string())]
    }),
    ("a length of all, and chunks", Wrapping::Behind, |sent| {
        vec![("content-length", sent.len().to_string()), chunked()]
    }),
    ("chunks, and a length of none", Wrapping::Inside, |sent| {
        let line = sent.find('\n').map_or(0, |end| end + 1);
        vec![chunked(), ("content-length", line.to_string())]
    }),
    ("two lengths", Wrapping::Bare, |sent| {
        let length = |bytes: usize| ("content-length", bytes.to_string());
        vec![length(0), length(sent.len())]
    }),
    ("chunked, but not last", Wrapping::Behind, |_| {
        vec![("transfer-encoding", "chunked, identity".to_owned())]
    }),
    ("a length with a sign", Wrapping::Bare, |_| {
        vec![("content-length", "+0".to_owned())]
    }),
];

/// Where the hidden request is.
#[derive(Debug, Clone, Copy)]
enum Wrapping {
    /// Behind the last chunk.
    Behind,
    /// The one chunk's content.
    Inside,
    /// All there is.
    Bare,
}

fn chunked() -> (&'static str, String) {
    ("transfer-encoding", "chunked".to_owned())
}

pub(crate) async fn run(ground: &Ground, due: &mut OnTheLog) -> Row {
    let memory = ground.memory().begin().unwrap();
    let mut said = BTreeMap::new();
    both_are_served_where_the_end_is_plain(ground, due).await;
    for (n, (what, wrapping, framing)) in FRAMINGS.iter().enumerate() {
        let hidden = delivery(ground, &format!("b22-hidden-{n}"));
        let text = String::from_utf8(hidden.bytes()).unwrap();
        let (read, sent) = wrapping.wrap(&text);
        // Whoever takes it for two requests finds the first one authentic, too.
        let mut outer = ground
            .delivery(&format!("b22-{n}"), read.as_bytes())
            .add("connection", "keep-alive");
        outer.with_length = false;
        for (name, value) in framing(&sent) {
            outer = outer.add(name, value);
        }
        let mut bytes = outer.head();
        bytes.extend_from_slice(sent.as_bytes());
        let answers = answers(ground.address(), &bytes).await.unwrap();
        assert_eq!(answers.len(), 1, "{what}: {answers:?}");
        let text = String::from_utf8_lossy(&answers[0].body);
        assert_eq!(answers[0].status, 400, "{what}: {text}");
        let problem = answers[0].problem();
        // What the parser finds wrong is answered without a body.
        assert!(
            matches!(problem.as_deref(), None | Some("bad-request")),
            "{what}: {text}"
        );
        let problem = problem.map_or(String::new(), |slug| format!(" `{slug}`"));
        *said.entry(format!("400{problem}")).or_insert(0) += 1;
        note(due, &hidden.body, Kept::Nothing);
        note(due, &outer.body, Kept::Nothing);
    }
    Row {
        row: 22,
        what: "a signed request hidden behind `Content-Length` beside `Transfer-Encoding`, two lengths, odd codings"
            .to_owned(),
        requests: FRAMINGS.len(),
        answers: format!("{}, one each, then closed", counted(&said)),
        kept: "none".to_owned(),
        memory: memory.peak().unwrap(),
    }
}

impl Wrapping {
    /// The body that the outer request has for whoever sees two requests, and what
    /// goes over the wire.
    fn wrap(self, hidden: &str) -> (String, String) {
        let size = format!("{:x}\r\n", hidden.len());
        match self {
            Self::Behind => {
                let body = r#"{"event_type":"support.ticket.created","payload":{"case":"b22"}}"#;
                let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
                (body.to_owned(), format!("{chunk}{hidden}"))
            }
            Self::Inside => (size.clone(), format!("{size}{hidden}\r\n0\r\n\r\n")),
            Self::Bare => (String::new(), hidden.to_owned()),
        }
    }
}

fn delivery(ground: &Ground, name: &str) -> Request {
    ground.delivery(name, &body(name))
}

/// The control: the same two requests on one connection are both answered and
/// both kept, where the end of the first is beyond doubt.
async fn both_are_served_where_the_end_is_plain(ground: &Ground, due: &mut OnTheLog) {
    let outer = delivery(ground, "b22-plain").add("connection", "keep-alive");
    let second = delivery(ground, "b22-second");
    let bytes = [outer.bytes(), second.bytes()].concat();
    let said = answers(ground.address(), &bytes).await.unwrap();
    let statuses: Vec<u16> = said.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [202, 202], "{said:?}");
    note(due, &outer.body, Kept::Delivery);
    note(due, &second.body, Kept::Delivery);
}
