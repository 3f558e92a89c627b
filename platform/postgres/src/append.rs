//! Rows by `COPY`, for tables that are only appended to.

use std::pin::pin;
use std::time::SystemTime;

use bytes::{BufMut, Bytes, BytesMut};
use futures::SinkExt;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Transaction};
use uuid::Uuid;

use crate::value::micros;

/// From how many rows on `COPY` is faster than `INSERT … SELECT FROM unnest`:
/// it takes three more round trips and half the work for each row.
pub const WORTH_COPYING: usize = 256;

/// The header of the binary format: its signature, no flags, no extension.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const END: i16 = -1;
const NULL: i32 = -1;
/// Microseconds from 1970 to 2000, from where Postgres counts.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;
/// One message to the server: enough that framing does not matter, and the
/// server works on one while the next is on its way.
const CHUNK: usize = 512 * 1024;

/// A value in the form in which `COPY` takes it. The type must be that of the
/// column: nothing converts it.
pub trait CopyValue {
    fn put(&self, row: &mut BytesMut);
}

/// Rows in the binary format of `COPY`, all with the same columns.
#[derive(Debug)]
pub struct CopyRows {
    full: Vec<Bytes>,
    buffer: BytesMut,
}

impl Default for CopyRows {
    fn default() -> Self {
        Self::new()
    }
}

impl CopyRows {
    pub fn new() -> Self {
        let mut buffer = BytesMut::with_capacity(CHUNK + CHUNK / 8);
        buffer.put_slice(SIGNATURE);
        Self {
            full: Vec::new(),
            buffer,
        }
    }

    /// Adds a row: a value for each column that the statement names.
    pub fn push(&mut self, values: &[&dyn CopyValue]) {
        // No table has more than 1,600 columns.
        self.buffer.put_i16(values.len() as i16);
        for value in values {
            value.put(&mut self.buffer);
        }
        if self.buffer.len() >= CHUNK {
            self.full.push(self.buffer.split().freeze());
            self.buffer.reserve(CHUNK + CHUNK / 8);
        }
    }

    /// The parts of the stream, in order, its end included.
    pub fn into_chunks(mut self) -> Vec<Bytes> {
        self.buffer.put_i16(END);
        self.full.push(self.buffer.freeze());
        self.full
    }
}

/// Appends rows by `statement`, a `COPY table (columns) FROM STDIN (FORMAT
/// binary)`, and answers true; or answers false and leaves the table and the
/// transaction as they were, when a row is there already or is there twice.
///
/// A duplicate on the log is rare and the check for it costs as much as the row
/// itself, so it is left to the unique index: whoever gets false inserts the
/// rows with `ON CONFLICT DO NOTHING`.
///
/// # Errors
/// When Postgres fails or refuses a value.
pub async fn copy_unless_conflict(
    tx: &Transaction<'_>,
    statement: &str,
    rows: CopyRows,
) -> Result<bool, Error> {
    tx.batch_execute("SAVEPOINT mesh_copy").await?;
    match copy(tx, statement, rows.into_chunks()).await {
        Ok(()) => {
            tx.batch_execute("RELEASE mesh_copy").await?;
            Ok(true)
        }
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            tx.batch_execute("ROLLBACK TO mesh_copy; RELEASE mesh_copy")
                .await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

async fn copy(tx: &Transaction<'_>, statement: &str, chunks: Vec<Bytes>) -> Result<(), Error> {
    let mut sink = pin!(tx.copy_in::<_, Bytes>(statement).await?);
    for chunk in chunks {
        // What the server refuses is the answer to the whole statement.
        if sink.feed(chunk).await.is_err() {
            break;
        }
    }
    sink.as_mut().finish().await.map(drop)
}

fn put(row: &mut BytesMut, bytes: &[u8]) {
    // A value of 2 GiB does not get here: records are far smaller.
    row.put_i32(bytes.len() as i32);
    row.put_slice(bytes);
}

impl CopyValue for Uuid {
    fn put(&self, row: &mut BytesMut) {
        put(row, self.as_bytes());
    }
}

impl CopyValue for i32 {
    fn put(&self, row: &mut BytesMut) {
        put(row, &self.to_be_bytes());
    }
}

impl CopyValue for i64 {
    fn put(&self, row: &mut BytesMut) {
        put(row, &self.to_be_bytes());
    }
}

impl CopyValue for f64 {
    fn put(&self, row: &mut BytesMut) {
        put(row, &self.to_be_bytes());
    }
}

impl CopyValue for bool {
    fn put(&self, row: &mut BytesMut) {
        put(row, &[u8::from(*self)]);
    }
}

/// As `timestamptz`.
impl CopyValue for SystemTime {
    fn put(&self, row: &mut BytesMut) {
        put(
            row,
            &micros(*self).saturating_sub(POSTGRES_EPOCH).to_be_bytes(),
        );
    }
}

impl CopyValue for &str {
    fn put(&self, row: &mut BytesMut) {
        put(row, self.as_bytes());
    }
}

impl CopyValue for String {
    fn put(&self, row: &mut BytesMut) {
        put(row, self.as_bytes());
    }
}

impl<T: CopyValue> CopyValue for Option<T> {
    fn put(&self, row: &mut BytesMut) {
        match self {
            Some(value) => value.put(row),
            None => row.put_i32(NULL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_a_head_rows_and_an_end() {
        let mut rows = CopyRows::new();
        rows.push(&[&1_i32, &None::<i64>, &"ab"]);
        let chunks = rows.into_chunks();
        assert_eq!(chunks.len(), 1);
        let (head, rest) = chunks[0].split_at(19);
        assert_eq!(head, SIGNATURE);
        assert_eq!(
            rest,
            b"\0\x03\0\0\0\x04\0\0\0\x01\xff\xff\xff\xff\0\0\0\x02ab\xff\xff"
        );
    }

    #[test]
    fn large_streams_come_in_parts() {
        let mut rows = CopyRows::new();
        let text = "x".repeat(1_000);
        for _ in 0..2_000 {
            rows.push(&[&text]);
        }
        let chunks = rows.into_chunks();
        assert!(chunks.len() > 2);
        let bytes: usize = chunks.iter().map(Bytes::len).sum();
        assert_eq!(bytes, 19 + 2_000 * 1_006 + 2);
    }

    #[test]
    fn time_is_counted_from_2000() {
        let mut row = BytesMut::new();
        crate::timestamptz(POSTGRES_EPOCH + 1).put(&mut row);
        assert_eq!(&row[..], b"\0\0\0\x08\0\0\0\0\0\0\0\x01");
    }
}
