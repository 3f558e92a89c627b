use platform_postgres::{Migration, Pool, drop_schema, incarnation, migrate, try_lock_exclusive};
use tracing::warn;

use super::Halt;

/// Puts a schema right of which a table was found missing: creates it anew, to
/// be filled from the log, unless somebody else has done so meanwhile. A schema
/// that has all it was created with may just lack a newer migration. `anew`
/// says that the content is of no use, for as long as the schema is still the
/// one that was claimed.
pub(crate) async fn repair(
    pool: &Pool,
    schema: &str,
    migrations: &[Migration],
    anew: Option<&str>,
) -> Result<(), Halt> {
    let Some(_lock) = try_lock_exclusive(pool, schema).await? else {
        return Err(Halt::Locked);
    };
    let state = {
        let client = pool.get().await?;
        incarnation(&**client, schema).await?
    };
    if state.is_none_or(|found| found.broken || Some(found.id.as_str()) == anew) {
        warn!(
            db.namespace = schema,
            "creating the schema anew, to be filled from the log"
        );
        drop_schema(pool, schema).await?;
    }
    migrate(pool, schema, migrations).await?;
    Ok(())
}
