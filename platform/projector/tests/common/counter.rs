//! A decider that counts presses and asks for something at each count.

use std::collections::BTreeSet;

use domain_kernel::{Decider, Recorded};
use serde::{Deserialize, Serialize};

use super::wire::{Asked, Counted};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    pub presses: BTreeSet<String>,
    pub total: u64,
    pub alarm_at: Option<i64>,
}

pub enum Command {
    Press {
        stream: String,
        press: String,
        number: u64,
    },
    Alarm {
        stream: String,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub struct TooMany;

pub struct Counter;

impl Decider for Counter {
    type State = Count;
    type Command = Command;
    type Event = Counted;
    type Request = Asked;
    type Rejection = TooMany;

    fn decide(state: &Count, command: Command) -> Result<Vec<Counted>, TooMany> {
        let (stream, press, number) = match command {
            Command::Press {
                stream,
                press,
                number,
            } => (stream, press, number),
            Command::Alarm { stream } => (stream, "alarm".to_owned(), 1_000),
        };
        if number > 1_000_000 {
            return Err(TooMany);
        }
        if state.presses.contains(&press) {
            return Ok(Vec::new());
        }
        Ok(vec![Counted {
            stream,
            press,
            total: state.total + number,
        }])
    }

    fn evolve(mut state: Count, event: &Counted) -> Count {
        state.total = event.total;
        state.alarm_at = event
            .stream
            .starts_with("alarm")
            .then_some(1)
            .filter(|_| event.press != "alarm");
        state.presses.insert(event.press.clone());
        state
    }

    fn react(event: &Recorded<Counted>) -> Vec<Asked> {
        vec![Asked {
            stream: format!("ask-{}-{}", event.event.stream, event.event.total),
            number: event.event.total,
            cancels: None,
        }]
    }
}
