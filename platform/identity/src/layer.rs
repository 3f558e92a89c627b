use platform_http::axum::Router;
use platform_http::axum::extract::{Request, State};
use platform_http::axum::middleware::{Next, from_fn_with_state};
use platform_http::axum::response::{IntoResponse, Response};

use crate::Identity;

/// Lets only those through to `router` who showed who they are, or anybody
/// without a credential where identity is not required. A credential that is
/// shown must be right either way.
pub fn protect(router: Router, identity: &Identity) -> Router {
    router.layer(from_fn_with_state(identity.clone(), check))
}

async fn check(State(identity): State<Identity>, mut request: Request, next: Next) -> Response {
    // Taken apart, because a body cannot be looked at from two threads.
    let names = identity.certificate_names(request.extensions());
    let authorization = request.headers().get_all("authorization").iter().cloned();
    let authorization: Vec<_> = authorization.collect();
    match identity.authenticate(&authorization, &names).await {
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Ok(None) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
