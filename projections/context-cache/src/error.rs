/// Why the cache was not filled or not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("redis failed")]
    Redis(#[from] platform_redis::Error),
    /// A key holds what this version does not write.
    #[error("a cached value is not readable")]
    Content(#[from] serde_json::Error),
    #[error("another owner of generation {seen} fills partition {partition}")]
    Fenced { partition: i32, seen: i64 },
    #[error("another cache took the place of the one that was written to")]
    Replaced,
    #[error("the offsets of partition {partition} are gone: redis was flushed")]
    Flushed { partition: i32 },
}
