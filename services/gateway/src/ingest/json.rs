//! JSON read strictly. What two readers could understand differently is refused:
//! a policy must not see another value than an agent does.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Levels of arrays and objects in one another. Below serde_json's own limit,
/// so that ours decides and stays when theirs moves.
const MAX_DEPTH: usize = 64;

/// Why a body is not the JSON it is declared to be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotJson {
    #[error("the body is empty")]
    Empty,
    #[error("the body starts with a byte order mark")]
    ByteOrderMark,
    #[error("the body is not UTF-8")]
    NotUtf8,
    #[error("the body is not JSON: {0}")]
    Syntax(String),
}

/// Reads one JSON value: UTF-8 without a byte order mark, no key twice in one
/// object, at most 64 levels deep, every number within range.
///
/// # Errors
/// What is wrong with it, in words for the sender.
pub fn parse(body: &[u8]) -> Result<Value, NotJson> {
    if body.is_empty() {
        return Err(NotJson::Empty);
    }
    if body.starts_with(&[0xEF, 0xBB, 0xBF]) {
        return Err(NotJson::ByteOrderMark);
    }
    let text = std::str::from_utf8(body).map_err(|_| NotJson::NotUtf8)?;
    let syntax = |error: serde_json::Error| NotJson::Syntax(error.to_string());
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0 }
        .deserialize(&mut reader)
        .map_err(syntax)?;
    reader.end().map_err(syntax)?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format_args!(
                "more than {MAX_DEPTH} levels of nesting"
            )));
        }
        Ok(Self {
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(deeper)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom("a key appears twice in one object"));
            }
            let value = members.next_value_seed(deeper)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json_is_read_as_serde_json_reads_it() {
        for text in [
            r#"{"a":[1,-2,3.5,true,false,null,"x\u00e9\ud83d\ude00"],"b":{}}"#,
            "[]",
            "\"text\"",
            "null",
            " 1 ",
            "-0",
            "9007199254740993",
            r#"{"__proto__":{"a":1},"":2}"#,
        ] {
            let expected: Value = serde_json::from_str(text).unwrap();
            assert_eq!(parse(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for body in [
            &b""[..],
            b" ",
            b"\xEF\xBB\xBF{}",
            b"{\"a\":\"\xFF\"}",
            b"\xFF\xFE{\0}\0",
            br#"{"tenant":"a","tenant":"b"}"#,
            br#"[{"x":{"k":1,"k":1}}]"#,
            br#"{"a":"#,
            br#"{"a":1}x"#,
            br#"{"a":1}{"b":2}"#,
            br#"{"a":NaN}"#,
            br#"{"a":1e400}"#,
            br#"{"a":01}"#,
            br#"{"a":"\ud800"}"#,
            br"{'a':1}",
            b"Hello, World!",
        ] {
            assert!(parse(body).is_err(), "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(parse(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(parse("[".repeat(10_000).as_bytes()).is_err());
    }
}
