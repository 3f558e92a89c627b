use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use crate::Problem;
use crate::server::BodyError;

/// Reads a whole body of at most `limit` bytes. A declared length over the
/// limit is refused before anything is read; a body that arrives in one piece
/// is not copied.
///
/// # Errors
/// 413 when it is longer, 400 when the sender broke off.
pub async fn read_body(
    request_body: Body,
    declared: Option<u64>,
    limit: usize,
) -> Result<Bytes, Problem> {
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(Problem::too_large(limit));
    }
    let mut body = request_body;
    let Some(first) = next_chunk(&mut body).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > limit {
        return Err(Problem::too_large(limit));
    }
    let Some(second) = next_chunk(&mut body).await? else {
        return Ok(first);
    };
    // The declared length is at most the limit here, so the reservation is bounded too.
    let declared = declared.map_or(0, |length| length as usize);
    let mut whole = BytesMut::with_capacity(declared.max(first.len() + second.len()).min(limit));
    whole.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        if whole.len() + chunk.len() > limit {
            return Err(Problem::too_large(limit));
        }
        whole.extend_from_slice(&chunk);
        next = next_chunk(&mut body).await?;
    }
    Ok(whole.freeze())
}

/// The next piece with bytes in it; trailers are passed over.
async fn next_chunk(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(broken_off)?;
        if let Ok(chunk) = frame.into_data()
            && !chunk.is_empty()
        {
            return Ok(Some(chunk));
        }
    }
    Ok(None)
}

fn broken_off(error: axum::Error) -> Problem {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if matches!(inner.downcast_ref::<BodyError>(), Some(BodyError::TooSlow)) {
            return Problem::request_timeout().detail("the body arrives too slowly");
        }
        if inner.is::<http_body_util::LengthLimitError>() {
            return Problem::of_status(axum::http::StatusCode::PAYLOAD_TOO_LARGE);
        }
        cause = inner.source();
    }
    Problem::bad_request("the body ended before it was complete")
}

/// A JSON request body; what is wrong with it is answered as a problem.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(&request) {
            return Err(Problem::unsupported_media_type("send application/json"));
        }
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Problem::of_status(rejection.status()))?;
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| Problem::bad_request(error.to_string()))
    }
}

fn is_json(request: &Request) -> bool {
    let Some(value) = request.headers().get(header::CONTENT_TYPE) else {
        return false;
    };
    let Ok(value) = value.to_str() else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || (essence.len() > 5 && essence.to_ascii_lowercase().ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;

    fn chunked(chunks: &[&'static str]) -> Body {
        let chunks: Vec<Result<Bytes, std::io::Error>> = chunks
            .iter()
            .map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())))
            .collect();
        Body::from_stream(futures::stream::iter(chunks))
    }

    #[tokio::test]
    async fn pieces_are_put_together() {
        let body = read_body(chunked(&["ab", "", "c"]), None, 3).await.unwrap();
        assert_eq!(body, "abc");
        assert!(
            read_body(Body::empty(), Some(0), 3)
                .await
                .unwrap()
                .is_empty()
        );
    }

    #[tokio::test]
    async fn a_chunked_body_is_cut_at_the_limit() {
        for chunks in [&["abcd"][..], &["ab", "cd"], &["a", "b", "c", "d"]] {
            let problem = read_body(chunked(chunks), None, 3).await.unwrap_err();
            assert_eq!(problem.status, StatusCode::PAYLOAD_TOO_LARGE);
        }
    }

    #[tokio::test]
    async fn a_declared_length_over_the_limit_is_refused_unread() {
        let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let problem = read_body(never, Some(4), 3).await.unwrap_err();
        assert_eq!(problem.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_the_senders_fault() {
        let broken = Body::from_stream(futures::stream::iter([
            Ok(Bytes::from_static(b"a")),
            Err(std::io::Error::other("reset")),
        ]));
        let problem = read_body(broken, None, 3).await.unwrap_err();
        assert_eq!(problem.status, StatusCode::BAD_REQUEST);
    }
}
