use platform_postgres::{
    column,
    tokio_postgres::{Error, Transaction},
};

use crate::project::{ResourceRow, fold};

const UPSERT: &str = "
    INSERT INTO resource AS known
        (kind, id, tenant, version, retired, definition, event_id, recorded_at)
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::int8[], $5::bool[], $6::text[], $7::uuid[],
        $8::timestamptz[])
    ON CONFLICT (kind, id) DO UPDATE SET
        tenant = excluded.tenant, version = excluded.version, retired = excluded.retired,
        definition = excluded.definition, event_id = excluded.event_id,
        recorded_at = excluded.recorded_at
    WHERE known.version < excluded.version";

/// Replaces each resource by its newest version.
pub(crate) async fn apply(tx: &Transaction<'_>, rows: Vec<ResourceRow>) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows = fold(rows);
    let rows = rows.as_slice();
    tx.execute(
        UPSERT,
        &[
            &column(rows, |row| row.kind),
            &column(rows, |row| row.id.as_str()),
            &column(rows, |row| row.tenant.as_str()),
            &column(rows, |row| row.version),
            &column(rows, |row| row.retired),
            &column(rows, |row| row.definition.as_deref()),
            &column(rows, |row| row.event_id),
            &column(rows, |row| row.recorded_at),
        ],
    )
    .await?;
    Ok(())
}
