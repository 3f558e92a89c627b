use platform_config::Settings;
use serde::{Deserialize, Serialize};

/// Where the four servers are, as settings and environment variables want it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// `host:port`, separated by commas.
    pub kafka_brokers: String,
    /// Base of the Confluent API.
    pub schema_registry_url: String,
    pub database_url: String,
    pub redis_url: String,
}

impl Endpoints {
    /// Points `settings` at these servers.
    pub fn apply(&self, settings: &mut Settings) {
        settings.kafka.brokers.clone_from(&self.kafka_brokers);
        settings
            .schema_registry
            .url
            .clone_from(&self.schema_registry_url);
        settings.postgres.url.clone_from(&self.database_url);
        settings.redis.url.clone_from(&self.redis_url);
    }

    /// The same as environment variables, for child processes and shells.
    pub fn to_env(&self) -> [(&'static str, String); 4] {
        [
            ("KAFKA_BROKERS", self.kafka_brokers.clone()),
            ("SCHEMA_REGISTRY_URL", self.schema_registry_url.clone()),
            ("DATABASE_URL", self.database_url.clone()),
            ("REDIS_URL", self.redis_url.clone()),
        ]
    }
}

/// Servers somebody else runs. What is `None` the stack starts itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    pub kafka_brokers: Option<String>,
    pub schema_registry_url: Option<String>,
    pub database_url: Option<String>,
    pub redis_url: Option<String>,
}

impl Given {
    /// What the environment names. An empty variable counts as unset.
    pub fn from_env() -> Self {
        let get = |name| {
            std::env::var(name)
                .ok()
                .filter(|value: &String| !value.is_empty())
        };
        Self {
            kafka_brokers: get("KAFKA_BROKERS"),
            schema_registry_url: get("SCHEMA_REGISTRY_URL"),
            database_url: get("DATABASE_URL"),
            redis_url: get("REDIS_URL"),
        }
    }

    /// Whether nothing is left to start.
    pub fn is_complete(&self) -> bool {
        self.complete().is_some()
    }

    /// The endpoints, when all four servers are given.
    pub fn complete(&self) -> Option<Endpoints> {
        Some(Endpoints {
            kafka_brokers: self.kafka_brokers.clone()?,
            schema_registry_url: self.schema_registry_url.clone()?,
            database_url: self.database_url.clone()?,
            redis_url: self.redis_url.clone()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_reach_the_settings() {
        let endpoints = Endpoints {
            kafka_brokers: "127.0.0.1:1".to_owned(),
            schema_registry_url: "http://127.0.0.1:2/apis/ccompat/v7".to_owned(),
            database_url: "postgres://a@127.0.0.1:3/a".to_owned(),
            redis_url: "redis://127.0.0.1:4".to_owned(),
        };
        let mut settings = Settings::defaults().unwrap();
        endpoints.apply(&mut settings);
        assert_eq!(settings.kafka.brokers, "127.0.0.1:1");
        assert_eq!(settings.schema_registry.url, endpoints.schema_registry_url);
        assert_eq!(settings.postgres.url, endpoints.database_url);
        assert_eq!(settings.redis.url, endpoints.redis_url);

        // The names are those the settings read from the environment.
        let env = endpoints
            .to_env()
            .map(|(name, value)| (name.to_owned(), value));
        let read = Settings::from_layers(None, env).unwrap();
        assert_eq!(read.kafka.brokers, settings.kafka.brokers);
        assert_eq!(read.schema_registry.url, settings.schema_registry.url);
        assert_eq!(read.postgres.url, settings.postgres.url);
        assert_eq!(read.redis.url, settings.redis.url);
    }

    #[test]
    fn given_servers_are_complete_only_together() {
        let mut given = Given {
            kafka_brokers: Some("a:1".to_owned()),
            schema_registry_url: Some("http://b".to_owned()),
            database_url: Some("postgres://c/d".to_owned()),
            redis_url: None,
        };
        assert!(!given.is_complete());
        given.redis_url = Some("redis://e".to_owned());
        assert!(given.is_complete());
    }
}
