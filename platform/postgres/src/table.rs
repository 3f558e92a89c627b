//! Rows into a table, whose columns are said once for every way in.

use std::error::Error as StdError;
use std::pin::pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures::SinkExt;
use futures::future::join;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Error, Transaction};

/// From how many rows on `COPY` is faster than `INSERT … SELECT FROM unnest`:
/// it takes three more round trips and half the work for each row.
pub const WORTH_COPYING: usize = 256;

/// What a `COPY` in the binary format begins with: the signature, no flags, no
/// extension. <https://www.postgresql.org/docs/15/sql-copy.html>
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Where the next row would begin.
const COPY_END: i16 = -1;
/// No number of columns a table could have.
const NO_ROW: i16 = -2;
/// The length of a null.
const NULL: i32 = -1;
/// Bytes that go to the server at once. The writer that comes with the driver
/// sends four thousand, and wakes two tasks for them.
const PIECE: usize = 128 * 1024;

/// A column: its name, its type, and its value in a row.
pub type Column<R> = (
    &'static str,
    Type,
    for<'a> fn(&'a R) -> &'a (dyn ToSql + Sync),
);

/// A table and how rows `R` stand in it.
#[derive(Debug)]
pub struct Table<R: 'static> {
    pub name: &'static str,
    pub columns: &'static [Column<R>],
    /// What `ON CONFLICT` does about a row that is there already. The row that
    /// is there is called `known`, the one that comes `excluded`.
    pub on_conflict: &'static str,
}

impl<R: Sync> Table<R> {
    /// Inserts `rows` in one statement.
    ///
    /// # Errors
    /// When Postgres fails or refuses a value.
    pub async fn insert(&self, tx: &Transaction<'_>, rows: &[R]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let columns: Vec<Vec<Value<'_>>> = self
            .columns
            .iter()
            .map(|(_, _, value)| rows.iter().map(|row| Value(value(row))).collect())
            .collect();
        let types: Option<Vec<Type>> = self
            .columns
            .iter()
            .map(|(_, kind, _)| array_of(kind))
            .collect();
        let statement = self.insert_statement();
        let values = columns.iter().map(|column| column as &(dyn ToSql + Sync));
        match types {
            // Without a round trip to be told the types.
            Some(types) => {
                let typed: Vec<_> = values.zip(types).collect();
                tx.execute_typed(&statement, &typed).await?;
            }
            None => {
                let values: Vec<_> = values.collect();
                tx.execute(&statement, &values).await?;
            }
        }
        Ok(())
    }

    /// Adds `rows`, few or many: many are copied, unless one of them is there
    /// already or comes twice. A repeat on the log is rare and a look for it
    /// costs as much as the row itself, so that it is left to the unique index.
    ///
    /// # Errors
    /// When Postgres fails or refuses a value.
    pub async fn append(&self, tx: &Transaction<'_>, rows: &[R]) -> Result<(), Error> {
        if rows.len() < WORTH_COPYING {
            return self.insert(tx, rows).await;
        }
        // The one goes out behind the other without waiting for it.
        let marking = tx.batch_execute("SAVEPOINT mesh_copy");
        let (marked, copied) = join(marking, self.copy(tx, rows)).await;
        marked?;
        match copied {
            Ok(()) => tx.batch_execute("RELEASE mesh_copy").await,
            // Refused for a row that is there, or one that could not be put into
            // the format: the other way in takes the one, and names the other.
            Err(error)
                if error.code() == Some(&SqlState::UNIQUE_VIOLATION)
                    || error.code() == Some(&SqlState::BAD_COPY_FILE_FORMAT) =>
            {
                tx.batch_execute("ROLLBACK TO mesh_copy; RELEASE mesh_copy")
                    .await?;
                self.insert(tx, rows).await
            }
            Err(error) => Err(error),
        }
    }

    /// Adds `rows` by `COPY` in the binary format. A row that is there already
    /// fails the statement where the table has its keys.
    ///
    /// # Errors
    /// When Postgres fails or refuses a value or a row.
    pub async fn copy(&self, tx: &Transaction<'_>, rows: &[R]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut sink = pin!(tx.copy_in::<_, Bytes>(&self.copy_statement()).await?);
        let mut out = BytesMut::with_capacity(PIECE + PIECE / 8);
        out.put_slice(COPY_HEADER);
        for row in rows {
            let before = out.len();
            if self.put_row(row, &mut out).is_err() {
                // No column of a row at all: the server says that this is no row.
                out.truncate(before);
                out.put_i16(NO_ROW);
                break;
            }
            if out.len() >= PIECE {
                sink.send(out.split().freeze()).await?;
                out.reserve(PIECE + PIECE / 8);
            }
        }
        out.put_i16(COPY_END);
        sink.send(out.freeze()).await?;
        sink.finish().await?;
        Ok(())
    }

    /// A row in the binary format of `COPY`: how many columns, then the length
    /// and the bytes of each.
    fn put_row(&self, row: &R, out: &mut BytesMut) -> Result<(), Box<dyn StdError + Sync + Send>> {
        out.put_i16(i16::try_from(self.columns.len())?);
        for (_, kind, value) in self.columns {
            let at = out.len();
            out.put_i32(NULL);
            if let IsNull::No = value(row).to_sql_checked(kind, out)? {
                let length = i32::try_from(out.len() - at - size_of::<i32>())?;
                out[at..at + size_of::<i32>()].copy_from_slice(&length.to_be_bytes());
            }
        }
        Ok(())
    }

    fn insert_statement(&self) -> String {
        let arrays: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, (_, kind, _))| format!("${}::{}[]", index + 1, kind.name()))
            .collect();
        format!(
            "INSERT INTO {} AS known ({}) SELECT * FROM unnest({}) ON CONFLICT {}",
            self.name,
            self.names(),
            arrays.join(", "),
            self.on_conflict,
        )
    }

    fn copy_statement(&self) -> String {
        format!(
            "COPY {} ({}) FROM STDIN (FORMAT binary)",
            self.name,
            self.names()
        )
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _, _)| *name).collect();
        names.join(", ")
    }
}

/// The type of an array of values of this type, of the types that tables have.
fn array_of(kind: &Type) -> Option<Type> {
    let array = match *kind {
        Type::BOOL => Type::BOOL_ARRAY,
        Type::INT4 => Type::INT4_ARRAY,
        Type::INT8 => Type::INT8_ARRAY,
        Type::FLOAT8 => Type::FLOAT8_ARRAY,
        Type::TEXT => Type::TEXT_ARRAY,
        Type::TIMESTAMPTZ => Type::TIMESTAMPTZ_ARRAY,
        Type::UUID => Type::UUID_ARRAY,
        _ => return None,
    };
    Some(array)
}

/// A value in a part that a row may lack: null without the part.
pub fn or_null<'a, P, T: ToSql + Sync + 'static>(
    part: Option<&'a P>,
    value: impl FnOnce(&'a P) -> &'a T,
) -> &'a (dyn ToSql + Sync) {
    match part {
        Some(part) => value(part),
        None => &None::<T>,
    }
}

/// An element of the array that one column of many rows is.
#[derive(Debug)]
struct Value<'a>(&'a (dyn ToSql + Sync));

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.0.to_sql_checked(kind, out)
    }

    /// Each value is asked when it is written.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pair {
        id: i64,
        name: Option<String>,
    }

    const PAIRS: Table<Pair> = Table {
        name: "pair",
        columns: &[
            ("id", Type::INT8, |row| &row.id),
            ("name", Type::TEXT, |row| {
                or_null(row.name.as_ref(), |name| name)
            }),
        ],
        on_conflict: "DO NOTHING",
    };

    #[test]
    fn both_ways_in_name_the_same_columns() {
        assert_eq!(
            PAIRS.insert_statement(),
            "INSERT INTO pair AS known (id, name) SELECT * FROM unnest($1::int8[], $2::text[]) \
             ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            PAIRS.copy_statement(),
            "COPY pair (id, name) FROM STDIN (FORMAT binary)"
        );
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        let row = Pair { id: 1, name: None };
        let mut out = BytesMut::new();
        let value = Value((PAIRS.columns[0].2)(&row));
        assert!(value.to_sql_checked(&Type::TEXT, &mut out).is_err());
        assert!(value.to_sql_checked(&Type::INT8, &mut out).is_ok());
        let absent = Value((PAIRS.columns[1].2)(&row));
        assert!(matches!(
            absent.to_sql_checked(&Type::TEXT, &mut out),
            Ok(IsNull::Yes)
        ));
    }
}
