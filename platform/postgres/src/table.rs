//! Rows into a table, whose columns are said once for every way in.

use std::error::Error as StdError;
use std::iter::zip;
use std::pin::pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures::SinkExt;
use futures::future::{join, try_join};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Error, Transaction};

/// From how many rows on `COPY` is faster than `INSERT … SELECT FROM unnest`:
/// it takes three more round trips and half the work for each row.
pub const WORTH_COPYING: usize = 256;

/// The planner would rather read all of a table of a million rows than look for
/// some thousands by their keys, which is what an insert does.
const JOIN_BY_INDEX: &str = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";

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
    pub on_conflict: OnConflict,
}

/// What is done about a row that is there already.
#[derive(Debug)]
pub enum OnConflict {
    Nothing,
    Update {
        /// The columns by which a row is there: those of a unique index.
        keys: &'static [&'static str],
        /// Columns that take the value that comes; one at least.
        set: &'static [&'static str],
        /// Columns that take the value that comes unless that is null.
        set_if_given: &'static [&'static str],
        /// What must hold of the row that is there, `known`, and the one that
        /// comes, `excluded`; `true` where nothing.
        only_if: &'static str,
    },
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
        let given = self.given(rows);
        let statement = self.insert_statement(&given);
        self.execute(tx, &statement, &given, rows).await?;
        Ok(())
    }

    /// Changes those of `rows` that are there, as `on_conflict` says, and says how
    /// many it changed. Inserting them does the same, but it locks each row, and
    /// looks at it, before it changes it. No key may come twice. Statements after
    /// it in this transaction join by indexes.
    ///
    /// # Errors
    /// When Postgres fails or refuses a value.
    pub async fn update(&self, tx: &Transaction<'_>, rows: &[R]) -> Result<u64, Error> {
        if rows.is_empty() {
            return Ok(0);
        }
        let given = self.given(rows);
        let Some(statement) = self.update_statement(&given) else {
            return Ok(0);
        };
        // The one goes out behind the other without waiting for it.
        let by_index = tx.batch_execute(JOIN_BY_INDEX);
        let changing = self.execute(tx, &statement, &given, rows);
        try_join(by_index, changing)
            .await
            .map(|(_, changed)| changed)
    }

    /// Which columns are sent. Of a wide table of which a little is changed most
    /// have no value in any row, and what is there stays.
    fn given(&self, rows: &[R]) -> Vec<bool> {
        zip(self.columns, 0..)
            .map(|(column, at)| {
                let needed = match &self.on_conflict {
                    OnConflict::Nothing => at == 0,
                    OnConflict::Update { set_if_given, .. } => !set_if_given.contains(&column.0),
                };
                needed || rows.iter().any(|row| has_value(column, row))
            })
            .collect()
    }

    /// Executes a statement whose parameters are the given columns, an array each.
    async fn execute(
        &self,
        tx: &Transaction<'_>,
        statement: &str,
        given: &[bool],
        rows: &[R],
    ) -> Result<u64, Error> {
        let columns = || zip(self.columns, given).filter_map(|(it, given)| given.then_some(it));
        let values: Vec<Vec<Value<'_>>> = columns()
            .map(|(_, _, value)| rows.iter().map(|row| Value(value(row))).collect())
            .collect();
        let types: Option<Vec<Type>> = columns().map(|(_, kind, _)| array_of(kind)).collect();
        let values = values.iter().map(|column| column as &(dyn ToSql + Sync));
        match types {
            // Without a round trip to be told the types.
            Some(types) => {
                let typed: Vec<_> = values.zip(types).collect();
                tx.execute_typed(statement, &typed).await
            }
            None => {
                let values: Vec<_> = values.collect();
                tx.execute(statement, &values).await
            }
        }
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
        if self.append_new(tx, rows).await? {
            Ok(())
        } else {
            self.insert(tx, rows).await
        }
    }

    /// Copies `rows` unless one of them is there already, comes twice or cannot be
    /// put into the format. Then it adds none, and answers that it did not.
    ///
    /// # Errors
    /// When Postgres fails or refuses a value.
    pub async fn append_new(&self, tx: &Transaction<'_>, rows: &[R]) -> Result<bool, Error> {
        // The one goes out behind the other without waiting for it.
        let marking = tx.batch_execute("SAVEPOINT mesh_copy");
        let (marked, copied) = join(marking, self.copy(tx, rows)).await;
        marked?;
        match copied {
            Ok(()) => {
                tx.batch_execute("RELEASE mesh_copy").await?;
                Ok(true)
            }
            // Refused for a row that is there, or one that could not be put into
            // the format: the other way in takes the one, and names the other.
            Err(error)
                if error.code() == Some(&SqlState::UNIQUE_VIOLATION)
                    || error.code() == Some(&SqlState::BAD_COPY_FILE_FORMAT) =>
            {
                tx.batch_execute("ROLLBACK TO mesh_copy; RELEASE mesh_copy")
                    .await?;
                Ok(false)
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

    fn insert_statement(&self, given: &[bool]) -> String {
        let selected: Vec<String> = zip(self.columns, given)
            .map(|((name, kind, _), given)| match given {
                true => (*name).to_owned(),
                false => format!("NULL::{}", kind.name()),
            })
            .collect();
        let conflict = match &self.on_conflict {
            OnConflict::Nothing => "DO NOTHING".to_owned(),
            OnConflict::Update { keys, only_if, .. } => format!(
                "({}) DO UPDATE SET {} WHERE {only_if}",
                keys.join(", "),
                self.changes(given)
            ),
        };
        format!(
            "INSERT INTO {} AS known ({}) SELECT {} FROM {} ON CONFLICT {conflict}",
            self.name,
            self.names(),
            selected.join(", "),
            self.coming(given),
        )
    }

    fn update_statement(&self, given: &[bool]) -> Option<String> {
        let OnConflict::Update { keys, only_if, .. } = &self.on_conflict else {
            return None;
        };
        let same: Vec<String> = keys
            .iter()
            .map(|key| format!("known.{key} = excluded.{key}"))
            .collect();
        Some(format!(
            "UPDATE {} AS known SET {} FROM {} WHERE {} AND {only_if}",
            self.name,
            self.changes(given),
            self.coming(given),
            same.join(" AND "),
        ))
    }

    /// What comes after `SET`, without the columns that keep what they have.
    fn changes(&self, given: &[bool]) -> String {
        let OnConflict::Update {
            set, set_if_given, ..
        } = &self.on_conflict
        else {
            return String::new();
        };
        let changes: Vec<String> = zip(self.columns, given)
            .filter_map(|((name, _, _), given)| {
                if set.contains(name) {
                    Some(format!("{name} = excluded.{name}"))
                } else if *given && set_if_given.contains(name) {
                    Some(format!("{name} = coalesce(excluded.{name}, known.{name})"))
                } else {
                    None
                }
            })
            .collect();
        changes.join(", ")
    }

    /// The parameters as rows.
    fn coming(&self, given: &[bool]) -> String {
        let (mut arrays, mut names) = (Vec::new(), Vec::new());
        for ((name, kind, _), _) in zip(self.columns, given).filter(|(_, given)| **given) {
            names.push(*name);
            arrays.push(format!("${}::{}[]", names.len(), kind.name()));
        }
        format!(
            "unnest({}) AS excluded ({})",
            arrays.join(", "),
            names.join(", ")
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

/// Whether a row has a value there. One that cannot be written counts as one, so that
/// whoever writes it says why.
fn has_value<R>((_, kind, value): &Column<R>, row: &R) -> bool {
    let written = value(row).to_sql_checked(kind, &mut BytesMut::new());
    !matches!(written, Ok(IsNull::Yes))
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
        on_conflict: OnConflict::Nothing,
    };

    #[test]
    fn both_ways_in_name_the_same_columns() {
        assert_eq!(
            PAIRS.insert_statement(&[true, true]),
            "INSERT INTO pair AS known (id, name) \
             SELECT id, name FROM unnest($1::int8[], $2::text[]) AS excluded (id, name) \
             ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            PAIRS.insert_statement(&[true, false]),
            "INSERT INTO pair AS known (id, name) \
             SELECT id, NULL::text FROM unnest($1::int8[]) AS excluded (id) \
             ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            PAIRS.copy_statement(),
            "COPY pair (id, name) FROM STDIN (FORMAT binary)"
        );
    }

    #[test]
    fn a_row_that_is_there_keeps_what_no_row_has_a_value_for() {
        let table = Table {
            on_conflict: OnConflict::Update {
                keys: &["id"],
                set: &["name"],
                set_if_given: &[],
                only_if: "known.id > 0",
            },
            ..PAIRS
        };
        assert_eq!(
            table.update_statement(&[true, true]).unwrap(),
            "UPDATE pair AS known SET name = excluded.name \
             FROM unnest($1::int8[], $2::text[]) AS excluded (id, name) \
             WHERE known.id = excluded.id AND known.id > 0"
        );
        let unnamed = Pair { id: 1, name: None };
        assert_eq!(table.given(&[unnamed]), [true, true], "what is set is sent");
        let table = Table {
            on_conflict: OnConflict::Update {
                keys: &["id"],
                set: &["id"],
                set_if_given: &["name"],
                only_if: "true",
            },
            ..PAIRS
        };
        let unnamed = Pair { id: 1, name: None };
        assert_eq!(table.given(&[unnamed]), [true, false]);
        assert_eq!(table.changes(&[true, false]), "id = excluded.id");
        assert_eq!(
            table.changes(&[true, true]),
            "id = excluded.id, name = coalesce(excluded.name, known.name)"
        );
        assert!(PAIRS.update_statement(&[true, true]).is_none());
    }

    #[test]
    fn what_cannot_be_written_is_sent_to_be_refused() {
        let named = Pair {
            id: 1,
            name: Some("one".to_owned()),
        };
        let unnamed = Pair { id: 1, name: None };
        let name = &PAIRS.columns[1];
        assert!(has_value(name, &named));
        assert!(!has_value(name, &unnamed));
        let mistyped = (name.0, Type::INT8, name.2);
        assert!(has_value(&mistyped, &named));
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
