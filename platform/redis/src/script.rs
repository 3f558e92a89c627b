use std::time::Duration;

use fred::{
    error::ErrorKind,
    interfaces::LuaInterface,
    types::{FromValue, Value},
};

use crate::{Error, Redis};

/// How long a script may take: it may have thousands of writes to do.
const SCRIPT_DEADLINE: Duration = Duration::from_secs(5);

/// A Lua script. It travels with each call: ours are short and run once a
/// batch, and the server compiles a text it knows only once.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    text: &'static str,
    deadline: Duration,
}

impl Script {
    pub const fn new(text: &'static str) -> Self {
        Self {
            text,
            deadline: SCRIPT_DEADLINE,
        }
    }

    /// For one that has less to do.
    pub(crate) const fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    pub(crate) async fn run<R: FromValue>(
        &self,
        redis: &Redis,
        keys: Vec<String>,
        arguments: Vec<Vec<u8>>,
    ) -> Result<R, Error> {
        // The driver runs scripts without the options of other commands: without
        // a connection it would keep them until there is one.
        redis.connected()?;
        let arguments: Vec<Value> = arguments
            .into_iter()
            .map(|argument| Value::Bytes(argument.into()))
            .collect();
        let evaluated = redis.client().eval(self.text, keys, arguments);
        match tokio::time::timeout(self.deadline, evaluated).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(fred::error::Error::new(ErrorKind::Timeout, "no answer").into()),
        }
    }
}
