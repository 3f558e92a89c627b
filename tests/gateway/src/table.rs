use std::fmt::Write as _;

/// What one row of the table came to.
#[derive(Debug, Clone)]
pub struct Row {
    pub row: u8,
    pub what: String,
    /// What was sent, how often.
    pub requests: usize,
    pub answers: String,
    pub kept: String,
    /// Bytes by which the resident memory of the process that answered grew at most.
    pub memory: u64,
}

/// The rows as Markdown, in order.
pub fn markdown(rows: &[Row]) -> String {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|row| row.row);
    let mut text = String::from(
        "| # | sent | requests | answered | on the log | memory, MiB |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = writeln!(
            text,
            "| B{} | {} | {} | {} | {} | {:.1} |",
            row.row,
            row.what.replace('|', "\\|"),
            row.requests,
            row.answers,
            row.kept,
            row.memory as f64 / f64::from(1 << 20)
        );
    }
    text
}
