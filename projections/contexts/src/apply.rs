use platform_postgres::{
    OnConflict, Table, or_null,
    tokio_postgres::{Error, Transaction, types::Type},
};

use crate::project::{Change, MergeRow, SharedRow};

const SHARED: Table<SharedRow> = Table {
    name: "shared",
    columns: &[
        ("context_id", Type::UUID, |row| &row.common.context_id),
        ("event_id", Type::UUID, |row| &row.common.event_id),
        ("tenant", Type::TEXT, |row| &row.common.tenant),
        ("correlation", Type::UUID, |row| &row.common.correlation),
        ("space", Type::TEXT, |row| &row.common.space),
        ("kind", Type::TEXT, |row| &row.common.kind),
        ("subject", Type::TEXT, |row| &row.common.subject),
        ("delivery", Type::UUID, |row| &row.common.delivery),
        ("source_id", Type::TEXT, |row| &row.common.source_id),
        ("content", Type::TEXT, |row| &row.common.content),
        ("content_sha256", Type::TEXT, |row| {
            &row.common.content_sha256
        }),
        ("model_digest", Type::TEXT, |row| &row.common.model_digest),
        ("recorded_at", Type::TIMESTAMPTZ, |row| {
            &row.common.recorded_at
        }),
        ("log_partition", Type::INT4, |row| &row.common.partition),
        ("log_offset", Type::INT8, |row| &row.common.offset),
        ("text", Type::TEXT, |row| &row.text),
        ("neighbour_id", Type::UUID, |row| {
            or_null(row.neighbour.as_ref(), |it| &it.id)
        }),
        ("neighbour_cosine", Type::FLOAT8, |row| {
            or_null(row.neighbour.as_ref(), |it| &it.cosine)
        }),
        ("neighbour_kept_apart", Type::TEXT, |row| {
            or_null(row.neighbour.as_ref(), |it| &it.kept_apart)
        }),
        ("subscribers", Type::TEXT, |row| &row.subscribers),
    ],
    on_conflict: OnConflict::Nothing,
};

const MERGED: Table<MergeRow> = Table {
    name: "merged",
    columns: &[
        ("context_id", Type::UUID, |row| &row.common.context_id),
        ("event_id", Type::UUID, |row| &row.common.event_id),
        ("tenant", Type::TEXT, |row| &row.common.tenant),
        ("correlation", Type::UUID, |row| &row.common.correlation),
        ("space", Type::TEXT, |row| &row.common.space),
        ("kind", Type::TEXT, |row| &row.common.kind),
        ("subject", Type::TEXT, |row| &row.common.subject),
        ("delivery", Type::UUID, |row| &row.common.delivery),
        ("source_id", Type::TEXT, |row| &row.common.source_id),
        ("content", Type::TEXT, |row| &row.common.content),
        ("content_sha256", Type::TEXT, |row| {
            &row.common.content_sha256
        }),
        ("model_digest", Type::TEXT, |row| &row.common.model_digest),
        ("recorded_at", Type::TIMESTAMPTZ, |row| {
            &row.common.recorded_at
        }),
        ("log_partition", Type::INT4, |row| &row.common.partition),
        ("log_offset", Type::INT8, |row| &row.common.offset),
        ("version", Type::INT8, |row| &row.version),
        ("cosine", Type::FLOAT8, |row| &row.cosine),
        ("exact", Type::BOOL, |row| &row.exact),
    ],
    on_conflict: OnConflict::Nothing,
};

/// Rows of each table.
#[derive(Default)]
struct Rows {
    shared: Vec<SharedRow>,
    merged: Vec<MergeRow>,
}

impl Rows {
    fn of(changes: Vec<Change>) -> Self {
        let mut rows = Self::default();
        for change in changes {
            match change {
                Change::Shared(row) => rows.shared.push(row),
                Change::Merged(row) => rows.merged.push(row),
            }
        }
        rows
    }
}

/// Adds the rows that are not there yet.
pub(crate) async fn apply(tx: &Transaction<'_>, changes: Vec<Change>) -> Result<(), Error> {
    let rows = Rows::of(changes);
    SHARED.append(tx, &rows.shared).await?;
    MERGED.append(tx, &rows.merged).await
}

/// Adds rows to tables that have no keys yet.
pub(crate) async fn bulk(tx: &Transaction<'_>, changes: Vec<Change>) -> Result<(), Error> {
    let rows = Rows::of(changes);
    SHARED.copy(tx, &rows.shared).await?;
    MERGED.copy(tx, &rows.merged).await
}
