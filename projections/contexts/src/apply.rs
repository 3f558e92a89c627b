use platform_postgres::{
    CopyRows, WORTH_COPYING, column, copy_unless_conflict,
    tokio_postgres::{Error, Transaction},
};

use crate::project::{Change, MergeRow, SharedRow};

const SHARE: &str = "
    INSERT INTO shared
        (context_id, event_id, tenant, correlation, space, kind, subject, delivery, source_id,
         content, content_sha256, model_digest, recorded_at, log_partition, log_offset,
         text, neighbour_id, neighbour_cosine, neighbour_kept_apart, subscribers)
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[],
        $8::uuid[], $9::text[], $10::text[], $11::text[], $12::text[], $13::timestamptz[],
        $14::int4[], $15::int8[], $16::text[], $17::uuid[], $18::float8[], $19::text[], $20::text[])
    ON CONFLICT DO NOTHING";

const MERGE: &str = "
    INSERT INTO merged
        (context_id, event_id, tenant, correlation, space, kind, subject, delivery, source_id,
         content, content_sha256, model_digest, recorded_at, log_partition, log_offset,
         version, cosine, exact)
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[],
        $8::uuid[], $9::text[], $10::text[], $11::text[], $12::text[], $13::timestamptz[],
        $14::int4[], $15::int8[], $16::int8[], $17::float8[], $18::bool[])
    ON CONFLICT DO NOTHING";

const COPY_SHARED: &str = "
    COPY shared
        (context_id, event_id, tenant, correlation, space, kind, subject, delivery, source_id,
         content, content_sha256, model_digest, recorded_at, log_partition, log_offset,
         text, neighbour_id, neighbour_cosine, neighbour_kept_apart, subscribers)
    FROM STDIN (FORMAT binary)";

const COPY_MERGED: &str = "
    COPY merged
        (context_id, event_id, tenant, correlation, space, kind, subject, delivery, source_id,
         content, content_sha256, model_digest, recorded_at, log_partition, log_offset,
         version, cosine, exact)
    FROM STDIN (FORMAT binary)";

/// Adds the rows that are not there yet.
pub(crate) async fn apply(tx: &Transaction<'_>, changes: Vec<Change>) -> Result<(), Error> {
    let mut shared = Vec::new();
    let mut merged = Vec::new();
    for change in changes {
        match change {
            Change::Shared(row) => shared.push(row),
            Change::Merged(row) => merged.push(row),
        }
    }
    if !shared.is_empty() {
        share(tx, &shared).await?;
    }
    if !merged.is_empty() {
        merge(tx, &merged).await?;
    }
    Ok(())
}

async fn share(tx: &Transaction<'_>, rows: &[SharedRow]) -> Result<(), Error> {
    if rows.len() >= WORTH_COPYING && copy_unless_conflict(tx, COPY_SHARED, shared(rows)).await? {
        return Ok(());
    }
    tx.execute(
        SHARE,
        &[
            &column(rows, |row| row.common.context_id),
            &column(rows, |row| row.common.event_id),
            &column(rows, |row| row.common.tenant.as_str()),
            &column(rows, |row| row.common.correlation),
            &column(rows, |row| row.common.space.as_str()),
            &column(rows, |row| row.common.kind.as_str()),
            &column(rows, |row| row.common.subject.as_str()),
            &column(rows, |row| row.common.delivery),
            &column(rows, |row| row.common.source_id.as_str()),
            &column(rows, |row| row.common.content.as_str()),
            &column(rows, |row| row.common.content_sha256.as_str()),
            &column(rows, |row| row.common.model_digest.as_str()),
            &column(rows, |row| row.common.recorded_at),
            &column(rows, |row| row.common.partition),
            &column(rows, |row| row.common.offset),
            &column(rows, |row| row.text.as_str()),
            &column(rows, |row| row.neighbour.as_ref().map(|n| n.id)),
            &column(rows, |row| row.neighbour.as_ref().map(|n| n.cosine)),
            &column(rows, |row| {
                row.neighbour.as_ref().map(|n| n.kept_apart.as_str())
            }),
            &column(rows, |row| row.subscribers.as_str()),
        ],
    )
    .await?;
    Ok(())
}

async fn merge(tx: &Transaction<'_>, rows: &[MergeRow]) -> Result<(), Error> {
    if rows.len() >= WORTH_COPYING && copy_unless_conflict(tx, COPY_MERGED, merged(rows)).await? {
        return Ok(());
    }
    tx.execute(
        MERGE,
        &[
            &column(rows, |row| row.common.context_id),
            &column(rows, |row| row.common.event_id),
            &column(rows, |row| row.common.tenant.as_str()),
            &column(rows, |row| row.common.correlation),
            &column(rows, |row| row.common.space.as_str()),
            &column(rows, |row| row.common.kind.as_str()),
            &column(rows, |row| row.common.subject.as_str()),
            &column(rows, |row| row.common.delivery),
            &column(rows, |row| row.common.source_id.as_str()),
            &column(rows, |row| row.common.content.as_str()),
            &column(rows, |row| row.common.content_sha256.as_str()),
            &column(rows, |row| row.common.model_digest.as_str()),
            &column(rows, |row| row.common.recorded_at),
            &column(rows, |row| row.common.partition),
            &column(rows, |row| row.common.offset),
            &column(rows, |row| row.version),
            &column(rows, |row| row.cosine),
            &column(rows, |row| row.exact),
        ],
    )
    .await?;
    Ok(())
}

fn shared(rows: &[SharedRow]) -> CopyRows {
    let mut copied = CopyRows::new();
    for row in rows {
        let neighbour = row.neighbour.as_ref();
        copied.push(&[
            &row.common.context_id,
            &row.common.event_id,
            &row.common.tenant,
            &row.common.correlation,
            &row.common.space,
            &row.common.kind,
            &row.common.subject,
            &row.common.delivery,
            &row.common.source_id,
            &row.common.content,
            &row.common.content_sha256,
            &row.common.model_digest,
            &row.common.recorded_at,
            &row.common.partition,
            &row.common.offset,
            &row.text,
            &neighbour.map(|neighbour| neighbour.id),
            &neighbour.map(|neighbour| neighbour.cosine),
            &neighbour.map(|neighbour| neighbour.kept_apart.as_str()),
            &row.subscribers,
        ]);
    }
    copied
}

fn merged(rows: &[MergeRow]) -> CopyRows {
    let mut copied = CopyRows::new();
    for row in rows {
        copied.push(&[
            &row.common.context_id,
            &row.common.event_id,
            &row.common.tenant,
            &row.common.correlation,
            &row.common.space,
            &row.common.kind,
            &row.common.subject,
            &row.common.delivery,
            &row.common.source_id,
            &row.common.content,
            &row.common.content_sha256,
            &row.common.model_digest,
            &row.common.recorded_at,
            &row.common.partition,
            &row.common.offset,
            &row.version,
            &row.cosine,
            &row.exact,
        ]);
    }
    copied
}
