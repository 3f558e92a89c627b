use std::collections::BTreeMap;

use tests_kit::{Answer, Ticket};

/// One delivery as its sender saw it.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub ticket: Ticket,
    /// What its sender sends one after another, each after the last was
    /// acknowledged.
    pub key: String,
    /// The how manieth of its key.
    pub number: usize,
    /// The body of the first 202, if there was one.
    pub acknowledged: Option<Vec<u8>>,
    /// How often each other status was answered.
    pub refusals: BTreeMap<u16, usize>,
    /// Posts without an answer.
    pub unanswered: usize,
    /// What no sender should ever see.
    pub complaints: Vec<String>,
}

impl Delivery {
    pub fn new(ticket: Ticket, key: &str, number: usize) -> Self {
        Self {
            ticket,
            key: key.to_owned(),
            number,
            acknowledged: None,
            refusals: BTreeMap::new(),
            unanswered: 0,
            complaints: Vec::new(),
        }
    }

    pub fn correlation(&self) -> String {
        self.ticket.correlation().to_string()
    }

    /// Takes note of an answer, or of there being none. Whether it was a 202.
    pub fn note(&mut self, answer: &anyhow::Result<Answer>) -> bool {
        let Ok(answer) = answer else {
            self.unanswered += 1;
            return false;
        };
        if answer.status != 202 {
            *self.refusals.entry(answer.status).or_default() += 1;
            if answer.status == 503 && answer.retry_after.is_none() {
                self.complain("a 503 that does not say when to come again");
            }
            // 401 is what a clock that is wrong makes of a good signature.
            if !matches!(answer.status, 401 | 409 | 429 | 503) {
                self.complain(&format!("status {}", answer.status));
            }
            return false;
        }
        match &self.acknowledged {
            None => self.acknowledged = Some(answer.body.clone()),
            Some(first) if *first == answer.body => {
                if !answer.replayed {
                    self.complain("acknowledged twice as if it were new");
                }
            }
            Some(_) => self.complain("another answer to the same delivery"),
        }
        true
    }

    fn complain(&mut self, what: &str) {
        self.complaints
            .push(format!("{what}: {}", self.ticket.delivery_id));
    }
}

/// What all senders of one fault saw.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub deliveries: Vec<Delivery>,
}

impl History {
    pub fn acknowledged(&self) -> impl Iterator<Item = &Delivery> {
        self.deliveries
            .iter()
            .filter(|delivery| delivery.acknowledged.is_some())
    }

    pub fn correlations(&self) -> Vec<String> {
        self.acknowledged().map(Delivery::correlation).collect()
    }

    /// How many answers had this status.
    pub fn answered(&self, status: u16) -> usize {
        self.deliveries
            .iter()
            .filter_map(|delivery| delivery.refusals.get(&status))
            .sum()
    }

    pub fn unanswered(&self) -> usize {
        self.deliveries.iter().map(|one| one.unanswered).sum()
    }

    /// In few words, for whoever reads the report.
    pub fn summary(&self) -> String {
        let mut refusals: BTreeMap<u16, usize> = BTreeMap::new();
        for delivery in &self.deliveries {
            for (status, count) in &delivery.refusals {
                *refusals.entry(*status).or_default() += count;
            }
        }
        let mut parts: Vec<String> = refusals
            .iter()
            .map(|(status, count)| format!("{count} × {status}"))
            .collect();
        if self.unanswered() > 0 {
            parts.push(format!("{} unanswered", self.unanswered()));
        }
        if parts.is_empty() {
            "no refusal".to_owned()
        } else {
            parts.join(", ")
        }
    }
}
