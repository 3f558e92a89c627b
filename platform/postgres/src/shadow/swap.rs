use super::{RETIRED, shadow_schema};
use crate::schema::quoted;
use crate::{Checkpoints, Claimed, Error, Pool, incarnation};

/// What may be read in the live schema may be read in the one that replaces it.
const GRANTS: &str = "
    SELECT format('GRANT %s ON %s TO %s', a.privilege_type, o.what,
                  CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
    FROM (
        SELECT format('SCHEMA %I', $2::text) AS what, nspacl AS acl, nspowner AS owner
        FROM pg_catalog.pg_namespace WHERE nspname = $1::text
        UNION ALL
        SELECT format('%I.%I', $2::text, c.relname), c.relacl, c.relowner
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_class s ON s.relname = c.relname
        JOIN pg_catalog.pg_namespace m ON m.oid = s.relnamespace AND m.nspname = $2::text
        WHERE n.nspname = $1::text AND c.relkind IN ('r', 'p', 'v', 'm')
    ) AS o, aclexplode(o.acl) AS a
    WHERE a.grantee <> o.owner";

/// Puts a shadow in the place of the live schema, which is then called
/// `<live>__retired`. Both are renamed in one transaction, so that a reader finds
/// either the one or the other.
///
/// The transaction first moves the checkpoints of the live schema under
/// `claims`: whoever does not own all of its partitions any more swaps nothing,
/// and a writer that still believes to own one finds in the checkpoints of the
/// shadow a later generation and another owner. What an earlier swap left is
/// dropped before ([`drop_retired`]).
///
/// # Errors
/// `Fenced` when somebody else claimed a partition of the live schema; otherwise
/// when Postgres fails.
pub async fn swap_in(
    pool: &Pool,
    shadow: &str,
    owner: &Checkpoints,
    claims: &[Claimed],
) -> Result<(), Error> {
    let live = owner.schema();
    let retired = shadow_schema(live, RETIRED);
    let mut client = pool.get().await?;
    let expected = incarnation(&**client, shadow).await?;
    let (from, to, old) = (quoted(shadow), quoted(live), quoted(&retired));
    let tx = client.transaction().await?;
    owner.advance(&tx, claims).await?;
    tx.execute(
        &format!(
            "UPDATE {from}.mesh_checkpoint AS s
             SET generation = greatest(s.generation, l.generation) + 1, owner = $1
             FROM {to}.mesh_checkpoint AS l
             WHERE l.topic = s.topic AND l.partition = s.partition"
        ),
        &[&owner.owner()],
    )
    .await?;
    for row in tx.query(GRANTS, &[&live, &shadow]).await? {
        tx.batch_execute(row.try_get(0)?).await?;
    }
    tx.batch_execute(&format!(
        "DROP TABLE {from}.mesh_shadow, {from}.mesh_shadow_key;
         ALTER SCHEMA {to} RENAME TO {old};
         ALTER SCHEMA {from} RENAME TO {to};"
    ))
    .await?;
    let Err(error) = tx.commit().await.map_err(Error::from) else {
        return Ok(());
    };
    if !error.is_ambiguous() {
        return Err(error);
    }
    let client = pool.get().await?;
    let found = incarnation(&**client, live).await?;
    if found.is_some() && found == expected {
        Ok(())
    } else {
        Err(error)
    }
}

/// Drops what a swap replaced. Somebody may still be reading it, so it is waited
/// for only for a moment; false when it is left for later.
///
/// # Errors
/// When Postgres fails.
pub async fn drop_retired(pool: &Pool, live: &str) -> Result<bool, Error> {
    let mut client = pool.get().await?;
    let tx = client.transaction().await?;
    tx.batch_execute("SET LOCAL lock_timeout = '2s'").await?;
    let dropped = tx
        .batch_execute(&format!(
            "DROP SCHEMA IF EXISTS {} CASCADE",
            quoted(&shadow_schema(live, RETIRED))
        ))
        .await;
    match dropped {
        Ok(()) => {
            tx.commit().await?;
            Ok(true)
        }
        Err(error)
            if error.code() == Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE) =>
        {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
