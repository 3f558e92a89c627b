use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use metrics::counter;
use platform_config::SchemaRegistry as Settings;
use platform_http::ClientOptions;
use platform_http::reqwest::{Client, Method, Response, StatusCode};
use platform_telemetry::names::metric;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Error;

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Codes of the Confluent API beside the HTTP status.
const SUBJECT_NOT_FOUND: i64 = 40_401;
const VERSION_NOT_FOUND: i64 = 40_402;
const SCHEMA_NOT_FOUND: i64 = 40_403;

/// A client of the Confluent schema registry API. What it has once been told
/// never changes, so it is asked once.
#[derive(Debug, Clone)]
pub struct SchemaRegistry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    base: String,
    texts: RwLock<HashMap<u32, Arc<str>>>,
    ids: RwLock<HashMap<(String, String), u32>>,
}

#[derive(Deserialize)]
struct Id {
    id: u32,
}

#[derive(Deserialize)]
struct Text {
    schema: String,
}

#[derive(Deserialize)]
struct Compatibility {
    is_compatible: bool,
    #[serde(default)]
    messages: Vec<String>,
}

#[derive(Deserialize)]
struct Level {
    #[serde(rename = "compatibilityLevel")]
    level: String,
}

#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(default)]
    error_code: i64,
    #[serde(default)]
    message: String,
}

impl SchemaRegistry {
    /// # Errors
    /// When the platform's certificates cannot be loaded.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let timeout = Duration::from_millis(settings.timeout_ms);
        let client = platform_http::client(ClientOptions {
            timeout,
            ..ClientOptions::default()
        })
        .map_err(|source| Error::RegistryClient { source })?;
        Ok(Self {
            shared: Arc::new(Shared {
                client,
                base: settings.url.trim_end_matches('/').to_owned(),
                texts: RwLock::new(HashMap::new()),
                ids: RwLock::new(HashMap::new()),
            }),
        })
    }

    /// Registers a schema; the same text again yields the same id.
    ///
    /// # Errors
    /// When the registry cannot be reached, or refuses the schema because it is
    /// not compatible with its earlier versions.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<u32, Error> {
        let path = format!("/subjects/{}/versions", escape(subject));
        let answer = self
            .ask("register", Method::POST, &path, Some(schema_body(schema)))
            .await?;
        if answer.status() == StatusCode::CONFLICT {
            let refusal: Refusal = answer.json().await.unwrap_or_default();
            return Err(Error::Incompatible {
                subject: subject.to_owned(),
                message: refusal.message,
            });
        }
        let Id { id } = read("register", answer).await?;
        self.remember_id(subject, schema, id);
        Ok(id)
    }

    /// The id under which this very schema is registered.
    ///
    /// # Errors
    /// When the registry cannot be reached or does not have it.
    pub async fn lookup(&self, subject: &str, schema: &str) -> Result<u32, Error> {
        let key = (subject.to_owned(), schema.to_owned());
        let known = self
            .shared
            .ids
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .copied();
        if let Some(id) = known {
            return Ok(id);
        }
        let path = format!("/subjects/{}", escape(subject));
        let answer = self
            .ask("lookup", Method::POST, &path, Some(schema_body(schema)))
            .await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(Error::SchemaNotRegistered {
                subject: subject.to_owned(),
            });
        }
        let Id { id } = read("lookup", answer).await?;
        self.remember_id(subject, schema, id);
        Ok(id)
    }

    /// The text of a schema.
    ///
    /// # Errors
    /// When the registry cannot be reached, or says that it has no such id.
    pub async fn schema_by_id(&self, id: u32) -> Result<Arc<str>, Error> {
        let known = self
            .shared
            .texts
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned();
        if let Some(text) = known {
            return Ok(text);
        }
        let path = format!("/schemas/ids/{id}");
        let answer = self.ask("schema by id", Method::GET, &path, None).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            let refusal: Refusal = answer.json().await.unwrap_or_default();
            // Whatever else answers 404 (a proxy, a wrong address) knows nothing
            // about schemas, and must not make dead letters of records.
            return Err(match refusal.error_code {
                SCHEMA_NOT_FOUND => Error::UnknownSchema { id },
                _ => refused("schema by id", StatusCode::NOT_FOUND, refusal.message),
            });
        }
        let Text { schema } = read("schema by id", answer).await?;
        let text: Arc<str> = schema.into();
        self.shared
            .texts
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, text.clone());
        Ok(text)
    }

    /// Sets which changes a subject allows, such as `FULL_TRANSITIVE`.
    ///
    /// # Errors
    /// When the registry cannot be reached or does not know the level.
    pub async fn set_compatibility(&self, subject: &str, level: &str) -> Result<(), Error> {
        let path = format!("/config/{}", escape(subject));
        let body = json!({ "compatibility": level });
        let answer = self
            .ask("set compatibility", Method::PUT, &path, Some(body))
            .await?;
        accept("set compatibility", answer).await.map(drop)
    }

    /// Which changes a subject allows; none where it has no rule of its own.
    ///
    /// # Errors
    /// When the registry cannot be reached.
    pub async fn compatibility(&self, subject: &str) -> Result<Option<String>, Error> {
        let path = format!("/config/{}", escape(subject));
        let answer = self.ask("compatibility", Method::GET, &path, None).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let Level { level } = read("compatibility", answer).await?;
        Ok(Some(level))
    }

    /// Whether a schema could be registered, by the rule of its subject. A
    /// subject without versions allows any schema.
    ///
    /// # Errors
    /// When the registry cannot be reached or the text is not a schema.
    pub async fn is_compatible(&self, subject: &str, schema: &str) -> Result<bool, Error> {
        let path = format!(
            "/compatibility/subjects/{}/versions?verbose=true",
            escape(subject)
        );
        let answer = self
            .ask("check", Method::POST, &path, Some(schema_body(schema)))
            .await?;
        let status = answer.status();
        if status == StatusCode::NOT_FOUND {
            let refusal: Refusal = answer.json().await.unwrap_or_default();
            return match refusal.error_code {
                SUBJECT_NOT_FOUND | VERSION_NOT_FOUND | SCHEMA_NOT_FOUND => Ok(true),
                _ => Err(refused("check", status, refusal.message)),
            };
        }
        let found: Compatibility = read("check", answer).await?;
        if !found.is_compatible {
            tracing::debug!(
                schema.subject = subject,
                schema.differences = found.messages.len(),
                "schema is not compatible"
            );
        }
        Ok(found.is_compatible)
    }

    async fn ask(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Response, Error> {
        counter!(metric::SCHEMA_REGISTRY_REQUESTS, "operation" => operation).increment(1);
        let mut request = self
            .shared
            .client
            .request(method, format!("{}{path}", self.shared.base))
            .header("accept", CONTENT_TYPE);
        if let Some(body) = body {
            request = request
                .header("content-type", CONTENT_TYPE)
                .body(body.to_string());
        }
        request
            .send()
            .await
            .map_err(|source| Error::RegistryUnreachable { source })
    }

    /// Both ways: who writes under an id also reads what others wrote under it,
    /// as one that takes a partition over does, and the registry may be away then.
    fn remember_id(&self, subject: &str, schema: &str, id: u32) {
        self.shared
            .ids
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((subject.to_owned(), schema.to_owned()), id);
        self.shared
            .texts
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, schema.into());
    }
}

fn schema_body(schema: &str) -> Value {
    json!({ "schema": schema, "schemaType": "AVRO" })
}

async fn accept(operation: &'static str, answer: Response) -> Result<Response, Error> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let refusal: Refusal = answer.json().await.unwrap_or_default();
    Err(refused(operation, status, refusal.message))
}

async fn read<T: serde::de::DeserializeOwned>(
    operation: &'static str,
    answer: Response,
) -> Result<T, Error> {
    let answer = accept(operation, answer).await?;
    answer
        .json()
        .await
        .map_err(|source| Error::RegistryUnreachable { source })
}

fn refused(operation: &'static str, status: StatusCode, message: String) -> Error {
    Error::RegistryAnswer {
        operation: operation.to_owned(),
        status: status.as_u16(),
        message,
    }
}

/// Escapes what may not stand in one segment of a path.
fn escape(segment: &str) -> String {
    segment
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_stays_one_segment() {
        assert_eq!(
            escape("mesh.deliveries-cloud.agentmesh.DeliveryAccepted"),
            "mesh.deliveries-cloud.agentmesh.DeliveryAccepted"
        );
        assert_eq!(escape("../a b?"), "..%2Fa%20b%3F");
    }

    #[tokio::test]
    async fn what_is_written_can_be_read_without_asking() {
        let registry = SchemaRegistry::new(&Settings {
            // Nobody listens there.
            url: "http://127.0.0.1:9".to_owned(),
            timeout_ms: 1_000,
        })
        .expect("a client");
        registry.remember_id("a-subject", r#""string""#, 7);
        let text = registry.schema_by_id(7).await.expect("known");
        assert_eq!(&*text, r#""string""#);
        assert!(registry.schema_by_id(8).await.is_err());
    }
}
