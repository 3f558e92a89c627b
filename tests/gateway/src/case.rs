use crate::Request;

/// One row: something bad, in its variants.
#[derive(Debug, Clone)]
pub struct Case {
    /// As in `B13`.
    pub row: u8,
    pub what: &'static str,
    pub steps: Vec<Step>,
}

/// One request, and what is to come of it.
#[derive(Debug, Clone)]
pub struct Step {
    pub note: String,
    pub sent: Sent,
    pub expect: Expect,
    pub kept: Kept,
}

#[derive(Debug, Clone)]
pub enum Sent {
    Request(Request),
    /// Bytes of a connection; whatever is in them must leave nothing.
    Bytes(Vec<u8>),
}

/// The answer that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expect {
    pub status: u16,
    /// The problem's slug; none where the answer is no problem of ours.
    pub problem: Option<&'static str>,
}

/// What is to stand on the log of the body that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Nothing,
    /// `DeliveryRefused`, for the operator.
    Refusal,
    /// `DeliveryAccepted`.
    Delivery,
    /// `DeliveryAccepted` that is handed to nobody.
    Quarantine,
    /// The very event that stood there before.
    Before,
}

impl Expect {
    pub const ACCEPTED: Self = Self {
        status: 202,
        problem: None,
    };
    pub const NOT_AUTHENTIC: Self = Self::problem(401, "not-authentic");
    pub const NOT_JSON: Self = Self::problem(400, "not-json");

    pub const fn problem(status: u16, slug: &'static str) -> Self {
        Self {
            status,
            problem: Some(slug),
        }
    }

    /// Answered before there is a request to route.
    pub const fn bare(status: u16) -> Self {
        Self {
            status,
            problem: None,
        }
    }
}

impl Kept {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Refusal => "DeliveryRefused",
            Self::Delivery => "DeliveryAccepted",
            Self::Quarantine => "DeliveryAccepted, quarantined",
            Self::Before => "none but the first",
        }
    }
}

impl Case {
    pub fn new(row: u8, what: &'static str) -> Self {
        Self {
            row,
            what,
            steps: Vec::new(),
        }
    }

    #[must_use]
    pub fn step(
        mut self,
        note: impl Into<String>,
        request: Request,
        expect: Expect,
        kept: Kept,
    ) -> Self {
        self.steps.push(Step {
            note: note.into(),
            sent: Sent::Request(request),
            expect,
            kept,
        });
        self
    }

    #[must_use]
    pub fn bytes(mut self, note: impl Into<String>, bytes: Vec<u8>, expect: Expect) -> Self {
        self.steps.push(Step {
            note: note.into(),
            sent: Sent::Bytes(bytes),
            expect,
            kept: Kept::Nothing,
        });
        self
    }
}

impl Sent {
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Request(request) => request.bytes(),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }

    pub fn body(&self) -> Option<&[u8]> {
        match self {
            Self::Request(request) => Some(&request.body),
            Self::Bytes(_) => None,
        }
    }
}
