use std::future::Future;
use std::time::Duration;

use platform_log::{
    Error, GroupConsumer, GroupEvent, Outgoing, PartitionReader, Position, Producer, Record,
};

/// Appends records. An error leaves open whether they stand on the log.
pub(crate) trait Append: Clone + Send + Sync + 'static {
    fn append(&self, record: Outgoing) -> impl Future<Output = Result<Position, Error>> + Send;

    /// In this order within a partition, without gaps: what stands on the log
    /// after a failure is, of each partition, a beginning of what was to.
    fn append_all(
        &self,
        records: Vec<Outgoing>,
    ) -> impl Future<Output = Result<Vec<Position>, Error>> + Send;
}

/// The log, as the runners need it.
pub(crate) trait Log: Clone + Send + Sync + 'static {
    type Producer: Append;
    type Member: Member;
    type Reader: Reader;

    fn producer(&self) -> &Self::Producer;

    /// Joins a consumer group. Does not wait for a broker.
    fn join(&self, group: &str, topics: &[&'static str]) -> Result<Self::Member, Error>;

    /// Reads outside of any group, from the given offsets.
    fn read(&self, topic: &str, from: Vec<(i32, i64)>) -> Result<Self::Reader, Error>;

    fn partition_count(&self, topic: &str) -> impl Future<Output = Result<u32, Error>> + Send;

    /// Where each partition of the topic ends now.
    fn high_watermarks(
        &self,
        topic: &str,
    ) -> impl Future<Output = Result<Vec<(i32, i64)>, Error>> + Send;
}

/// A member of a consumer group; [`GroupConsumer`] says what each call means.
pub(crate) trait Member: Send {
    fn next(
        &mut self,
        max_records: usize,
        max_wait: Duration,
    ) -> impl Future<Output = Result<GroupEvent, Error>> + Send;
    fn start(&mut self, positions: &[(&str, i32, i64)]) -> Result<(), Error>;
    fn pause(&mut self, partitions: &[i32]) -> Result<(), Error>;
    fn resume(&mut self, partitions: &[i32]) -> Result<(), Error>;
    fn release(&mut self) -> Result<(), Error>;
    fn commit_to_group(&self, offsets: &[(&str, i32, i64)]);
    fn connected(&self) -> bool;
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Reads partitions outside of any group.
pub(crate) trait Reader: Send {
    fn next(
        &mut self,
        max_records: usize,
        max_wait: Duration,
    ) -> impl Future<Output = Result<Vec<Record>, Error>> + Send;
}

impl Append for Producer {
    async fn append(&self, record: Outgoing) -> Result<Position, Error> {
        Producer::append(self, record).await
    }

    async fn append_all(&self, records: Vec<Outgoing>) -> Result<Vec<Position>, Error> {
        Producer::append_all(self, records).await
    }
}

impl Member for GroupConsumer {
    async fn next(&mut self, max_records: usize, max_wait: Duration) -> Result<GroupEvent, Error> {
        GroupConsumer::next(self, max_records, max_wait).await
    }

    fn start(&mut self, positions: &[(&str, i32, i64)]) -> Result<(), Error> {
        GroupConsumer::start(self, positions)
    }

    fn pause(&mut self, partitions: &[i32]) -> Result<(), Error> {
        GroupConsumer::pause(self, partitions)
    }

    fn resume(&mut self, partitions: &[i32]) -> Result<(), Error> {
        GroupConsumer::resume(self, partitions)
    }

    fn release(&mut self) -> Result<(), Error> {
        GroupConsumer::release(self)
    }

    fn commit_to_group(&self, offsets: &[(&str, i32, i64)]) {
        GroupConsumer::commit_to_group(self, offsets);
    }

    fn connected(&self) -> bool {
        GroupConsumer::connected(self)
    }

    async fn close(self) {
        GroupConsumer::close(self).await;
    }
}

impl Reader for PartitionReader {
    async fn next(&mut self, max_records: usize, max_wait: Duration) -> Result<Vec<Record>, Error> {
        PartitionReader::next(self, max_records, max_wait).await
    }
}
