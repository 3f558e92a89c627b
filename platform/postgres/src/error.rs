use tokio_postgres::error::SqlState;

/// What can go wrong with Postgres.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("postgres.url is not a Postgres URL")]
    Url(#[source] tokio_postgres::Error),
    #[error("no connection pool for postgres")]
    Build(#[source] deadpool_postgres::BuildError),
    #[error("no connection to postgres")]
    Unavailable(#[source] deadpool_postgres::PoolError),
    #[error("postgres refused a statement")]
    Query(#[from] tokio_postgres::Error),
    #[error("schema {schema} does not migrate")]
    Migrate {
        schema: String,
        #[source]
        source: refinery::Error,
    },
    /// Another owner has claimed the partition, or the checkpoint is gone.
    #[error("no longer the owner of a partition of {schema}")]
    Fenced { schema: String },
    /// Somebody rebuilds or repairs the schema.
    #[error("schema {schema} is locked for a rebuild")]
    Locked { schema: String },
}

impl Error {
    /// The SQL state Postgres answered with; none when it did not answer.
    pub fn sql_state(&self) -> Option<&SqlState> {
        match self {
            Self::Query(error) => error.code(),
            Self::Unavailable(deadpool_postgres::PoolError::Backend(error)) => error.code(),
            _ => None,
        }
    }

    /// Whether a table or the whole schema does not exist.
    pub fn is_schema_missing(&self) -> bool {
        matches!(
            self.sql_state(),
            Some(state) if *state == SqlState::UNDEFINED_TABLE || *state == SqlState::INVALID_SCHEMA_NAME
        )
    }

    /// Whether the values are at fault: the same statement fails again for as
    /// long as they are what they are (SQLSTATE classes 22 and 23, and a
    /// program limit such as an index row that is too large).
    pub fn is_data_error(&self) -> bool {
        self.sql_state().is_some_and(|state| {
            let code = state.code();
            code.starts_with("22") || code.starts_with("23") || code.starts_with("54")
        })
    }

    /// Whether Postgres is well and refused this statement for a reason that may
    /// pass or may not: a trigger that raised, a row hit twice, an internal error
    /// over a value. What says that the server, the connection or the schema is
    /// not as it should be is not among these.
    pub fn is_refusal(&self) -> bool {
        self.sql_state().is_some_and(|state| {
            let code = state.code();
            code == "XX000"
                || ["0A", "21", "27", "38", "39", "44", "P0"]
                    .iter()
                    .any(|class| code.starts_with(class))
        })
    }

    /// Whether the answer was lost on the way, so that a statement may or may
    /// not have been carried out.
    pub fn is_ambiguous(&self) -> bool {
        match self {
            Self::Query(error) => error.code().is_none_or(|state| {
                state.code().starts_with("08") || state.code().starts_with("57P")
            }),
            _ => false,
        }
    }
}
