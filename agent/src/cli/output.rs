//! How answers are shown: as a table, as JSON, or as little as a script needs.

use std::io::Write;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

/// How to show an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For programs: one object a line.
    Json,
    /// For scripts: the one word that matters.
    Quiet,
}

/// Something that can be shown in each way; its JSON is its serde form.
pub(crate) trait Show: Serialize {
    /// Lines for people.
    fn table(&self) -> String;
    /// The one word that matters, or a word a line.
    fn quiet(&self) -> String;
}

impl Output {
    /// Shows an answer on standard output.
    pub(crate) fn show<T: Show>(self, answer: &T) -> anyhow::Result<()> {
        let text = match self {
            Self::Table => answer.table(),
            Self::Json => serde_json::to_string(answer)?,
            Self::Quiet => answer.quiet(),
        };
        print(&text)
    }
}

/// One object on a line of its own, for answers that come one by one.
pub(crate) fn json_line<T: Serialize>(object: &T) -> anyhow::Result<()> {
    print(&serde_json::to_string(object)?)
}

/// Text on standard output.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    // Whoever reads may have seen enough and closed the pipe: that is no failure of ours.
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A plain table with these headings.
pub(crate) fn table<const COLUMNS: usize>(headings: [&str; COLUMNS], rows: Vec<[String; COLUMNS]>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(headings);
    for row in rows {
        table.add_row(row);
    }
    // The first column has no need of the preset's margin.
    table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned() + "\n").collect()
}

/// Bytes in a unit a person reads.
pub(crate) fn bytes(count: u64) -> String {
    const MEBI: u64 = 1 << 20;
    match count {
        0..1024 => format!("{count} B"),
        1024..MEBI => format!("{} KiB", count >> 10),
        _ => format!("{}.{} MiB", count >> 20, (count % MEBI) * 10 / MEBI),
    }
}
