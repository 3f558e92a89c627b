//! Rows into a table, whose columns are said once for every way in.

use std::pin::pin;

use bytes::BytesMut;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Error, Transaction};

/// From how many rows on `COPY` is faster than `INSERT … SELECT FROM unnest`:
/// it takes three more round trips and half the work for each row.
pub const WORTH_COPYING: usize = 256;

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
        tx.batch_execute("SAVEPOINT mesh_copy").await?;
        match self.copy(tx, rows).await {
            Ok(()) => tx.batch_execute("RELEASE mesh_copy").await,
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
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
        let types: Vec<Type> = self
            .columns
            .iter()
            .map(|(_, kind, _)| kind.clone())
            .collect();
        let sink = tx.copy_in(&self.copy_statement()).await?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
        let mut values: Vec<&(dyn ToSql + Sync)> = Vec::with_capacity(types.len());
        for row in rows {
            values.clear();
            values.extend(self.columns.iter().map(|(_, _, value)| value(row)));
            writer.as_mut().write(&values).await?;
        }
        writer.finish().await?;
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
