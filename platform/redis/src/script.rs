use fred::{
    interfaces::LuaInterface,
    types::{FromValue, Value},
};

use crate::{Error, Redis};

/// A Lua script. It travels with each call: ours are short and run once a
/// batch, and the server compiles a text it knows only once.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    text: &'static str,
}

impl Script {
    pub const fn new(text: &'static str) -> Self {
        Self { text }
    }

    pub(crate) async fn run<R: FromValue>(
        &self,
        redis: &Redis,
        keys: Vec<String>,
        arguments: Vec<Vec<u8>>,
    ) -> Result<R, Error> {
        redis.connected()?;
        let arguments: Vec<Value> = arguments
            .into_iter()
            .map(|argument| Value::Bytes(argument.into()))
            .collect();
        Ok(redis.bounded().eval(self.text, keys, arguments).await?)
    }
}
