use platform_postgres::{
    Checkpoints, Phase, Pool, RETIRED, drop_retired, drop_schema, list_shadows, schema_name,
    shadow_schema,
};

use super::options::NEXT;
use super::places::to_offsets;
use super::{lock_shadow, next_offsets};
use crate::digest::Offsets;
use crate::store::ShadowStore;
use crate::{Error, Failure};

/// What stands beside a live read model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow {
    pub name: String,
    /// Up to where, as it was asked for; none for what is left of one that was
    /// replaced or hardly begun.
    pub until: Option<String>,
    /// Whether it holds all that it is to hold.
    pub whole: bool,
    /// Where it stands.
    pub offsets: Offsets,
    /// What it takes in Postgres.
    pub bytes: u64,
}

impl Shadow {
    /// Whether a rebuild will go on with it by itself.
    pub fn is_next(&self) -> bool {
        self.name == NEXT
    }
}

/// The shadows of the read model called `name`, kept and interrupted ones.
///
/// # Errors
/// When Postgres fails.
pub async fn list(name: &str, pool: &Pool) -> Result<Vec<Shadow>, Error> {
    let mut shadows = Vec::new();
    for listed in list_shadows(pool, &schema_name(name)).await? {
        let offsets = match Checkpoints::positions(pool, &listed.schema).await {
            Ok(claims) => to_offsets(&next_offsets(&claims)),
            Err(error) if error.is_schema_missing() => Offsets::new(),
            Err(error) => return Err(error.into()),
        };
        shadows.push(Shadow {
            name: listed.name.replace('_', "-"),
            whole: listed
                .state
                .as_ref()
                .is_some_and(|state| state.phase == Phase::Whole),
            until: listed.state.map(|state| state.until),
            offsets,
            bytes: listed.bytes.unsigned_abs(),
        });
    }
    Ok(shadows)
}

/// Drops a shadow of a read model in Postgres.
///
/// # Errors
/// When a rebuild is at it, or Postgres fails.
pub async fn drop_shadow(projection: &'static str, name: &str, pool: &Pool) -> Result<(), Error> {
    forget(projection, name, pool, async { Ok(()) })
        .await
        .map_err(|source| super::failed(projection, source))
}

/// Drops a shadow of a read model outside Postgres.
///
/// # Errors
/// When a rebuild is at it, or Postgres or the store fails.
pub async fn drop_store_shadow<P: ShadowStore>(
    projection: &P,
    name: &str,
    pool: &Pool,
) -> Result<(), Error> {
    let shadow = projection.beside(name);
    forget(P::NAME, name, pool, async move { shadow.clear().await })
        .await
        .map_err(|source| super::failed(P::NAME, source))
}

async fn forget(
    projection: &str,
    name: &str,
    pool: &Pool,
    clear: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let live = schema_name(projection);
    if name == RETIRED {
        return if drop_retired(pool, &live).await? {
            Ok(())
        } else {
            Err(Failure::transient("somebody still reads it"))
        };
    }
    let schema = shadow_schema(&live, name);
    let _lock = lock_shadow(pool, &schema).await?;
    clear.await?;
    drop_schema(pool, &schema).await?;
    Ok(())
}
