use std::sync::Arc;

use futures::future::BoxFuture;
use platform_log::Admin;
use platform_postgres::{Pool, schema_name, shadow_schema};
use platform_projector::{
    Deps, Digested, PgProjection, RebuildOptions, Rebuilt, Shadow, ShadowStore, digest_of,
    digest_of_schema, drop_shadow, drop_store_shadow, rebuild_projection, rebuild_store, shadows,
    store_digest_of,
};

use crate::Error;

/// What can be done with a read model, wherever it is kept.
pub(crate) trait Model: Send + Sync {
    fn rebuild<'a>(
        &'a self,
        deps: &'a Deps,
        options: &'a RebuildOptions,
    ) -> BoxFuture<'a, Result<Rebuilt, Error>>;

    /// Of the live one, or of the shadow of that name.
    fn digest<'a>(
        &'a self,
        deps: &'a Deps,
        shadow: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Digested, Error>>;

    /// The same in another deployment's Postgres; none when it is not kept in Postgres.
    fn digest_in<'a>(&'a self, pool: &'a Pool) -> BoxFuture<'a, Result<Option<Digested>, Error>>;

    fn shadows<'a>(&'a self, deps: &'a Deps) -> BoxFuture<'a, Result<Vec<Shadow>, Error>>;

    fn drop_shadow<'a>(
        &'a self,
        deps: &'a Deps,
        shadow: &'a str,
    ) -> BoxFuture<'a, Result<(), Error>>;
}

/// A read model whose rows are in Postgres.
pub(crate) struct InPostgres<P>(pub(crate) Arc<P>);

impl<P: PgProjection> Model for InPostgres<P> {
    fn rebuild<'a>(
        &'a self,
        deps: &'a Deps,
        options: &'a RebuildOptions,
    ) -> BoxFuture<'a, Result<Rebuilt, Error>> {
        Box::pin(async move {
            rebuild_projection(self.0.clone(), deps, options)
                .await
                .map_err(failed(P::NAME))
        })
    }

    fn digest<'a>(
        &'a self,
        deps: &'a Deps,
        shadow: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Digested, Error>> {
        Box::pin(async move {
            let digested = match shadow {
                None => digest_of(&*self.0, &deps.pool).await,
                Some(name) => {
                    let schema = shadow_schema(&schema_name(P::NAME), name);
                    digest_of_schema(&*self.0, &deps.pool, &schema).await
                }
            };
            digested.map_err(failed(P::NAME))
        })
    }

    fn digest_in<'a>(&'a self, pool: &'a Pool) -> BoxFuture<'a, Result<Option<Digested>, Error>> {
        Box::pin(async move {
            let digested = digest_of(&*self.0, pool).await;
            digested.map(Some).map_err(failed(P::NAME))
        })
    }

    fn shadows<'a>(&'a self, deps: &'a Deps) -> BoxFuture<'a, Result<Vec<Shadow>, Error>> {
        Box::pin(async move { shadows(P::NAME, &deps.pool).await.map_err(failed(P::NAME)) })
    }

    fn drop_shadow<'a>(
        &'a self,
        deps: &'a Deps,
        shadow: &'a str,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let dropped = drop_shadow(P::NAME, shadow, &deps.pool).await;
            dropped.map_err(failed(P::NAME))
        })
    }
}

/// A read model that is kept elsewhere.
pub(crate) struct InStore<P>(pub(crate) P);

impl<P: ShadowStore> Model for InStore<P> {
    fn rebuild<'a>(
        &'a self,
        deps: &'a Deps,
        options: &'a RebuildOptions,
    ) -> BoxFuture<'a, Result<Rebuilt, Error>> {
        Box::pin(async move {
            rebuild_store(&self.0, deps, options)
                .await
                .map_err(failed(P::NAME))
        })
    }

    fn digest<'a>(
        &'a self,
        deps: &'a Deps,
        shadow: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Digested, Error>> {
        Box::pin(async move {
            let partitions = self.partitions(deps).await?;
            let digested = match shadow {
                None => store_digest_of(&self.0, partitions).await,
                Some(name) => store_digest_of(&self.0.beside(name), partitions).await,
            };
            digested.map_err(failed(P::NAME))
        })
    }

    fn digest_in<'a>(&'a self, _pool: &'a Pool) -> BoxFuture<'a, Result<Option<Digested>, Error>> {
        Box::pin(async { Ok(None) })
    }

    fn shadows<'a>(&'a self, deps: &'a Deps) -> BoxFuture<'a, Result<Vec<Shadow>, Error>> {
        Box::pin(async move { shadows(P::NAME, &deps.pool).await.map_err(failed(P::NAME)) })
    }

    fn drop_shadow<'a>(
        &'a self,
        deps: &'a Deps,
        shadow: &'a str,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let dropped = drop_store_shadow(&self.0, shadow, &deps.pool).await;
            dropped.map_err(failed(P::NAME))
        })
    }
}

impl<P: ShadowStore> InStore<P> {
    async fn partitions(&self, deps: &Deps) -> Result<u32, Error> {
        let admin = Admin::new(&deps.settings.kafka)?;
        let mut partitions = 0;
        for topic in self.0.topics() {
            partitions = partitions.max(admin.partition_count(topic).await?);
        }
        Ok(partitions)
    }
}

fn failed(name: &'static str) -> impl FnOnce(platform_projector::Error) -> Error {
    move |source| Error::ReadModel {
        name,
        source: Box::new(source),
    }
}
