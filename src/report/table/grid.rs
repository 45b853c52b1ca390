//! Columns as kubectl sets them: upper-case heads, two spaces between, no borders.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table};

use super::TableOptions;
use crate::report::text::sanitize;
use crate::severity::Severity;

/// Columns of a terminal from which on a cell of two words is written in one line.
const ROOMY: u16 = 120;

/// Characters that a flexible column keeps beside preferred ones.
const LEAST: usize = 10;

/// How a column behaves when there is not room for all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Column {
    /// As wide as its content.
    Fixed,
    /// As wide as its content, which are numbers.
    Number,
    /// As wide as its content, if the flexible ones keep some room; otherwise gives way too.
    Preferred,
    /// Gives way.
    Flexible,
}

/// A cell with text of anyone.
pub(in crate::report) fn cell(text: &str) -> Cell {
    Cell::new_owned(sanitize(text))
}

/// A severity by its word, and what else is to be marked, coloured if cells are styled at all.
pub(in crate::report) fn severity_cell(severity: Severity, mark: Option<&str>, options: TableOptions) -> Cell {
    // Where there is little room the mark stands below, so that the other columns keep theirs.
    let is_narrow = options.width.is_some_and(|width| width < ROOMY);
    let cell = match mark {
        Some(mark) if is_narrow => Cell::new(format!("{severity}\n{mark}")),
        Some(mark) => Cell::new(format!("{severity}, {mark}")),
        None => Cell::new(severity.as_str()),
    };
    match severity {
        Severity::Critical => cell.fg(Color::Red).add_attribute(Attribute::Bold),
        Severity::High => cell.fg(Color::Red),
        Severity::Medium => cell.fg(Color::Yellow),
        Severity::Low => cell.fg(Color::Cyan),
        Severity::Negligible | Severity::Unknown => cell,
    }
}

/// Renders rows; each line ends with a line feed and none with blanks.
pub(in crate::report) fn grid(
    columns: &[(&str, Column)],
    rows: Vec<Vec<Cell>>,
    options: TableOptions,
) -> String {
    let has_room = has_room(columns, &rows, options);
    let mut table = Table::new();
    table.load_style(NOTHING).force_no_tty();
    table.set_header(columns.iter().map(|(head, _)| Cell::new(head)));
    table.add_rows(rows);
    if options.color {
        table.enforce_styling().style_text_only();
    }
    match options.width {
        Some(width) => table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    for (position, (_, kind)) in columns.iter().enumerate() {
        let Some(column) = table.column_mut(position) else { continue };
        column.set_padding((0, if position + 1 == columns.len() { 0 } else { 2 }));
        if *kind != Column::Flexible && (*kind != Column::Preferred || has_room) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        if *kind == Column::Number {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().flat_map(|line| [line.trim_end().to_owned(), "\n".to_owned()]).collect()
}

/// Whether preferred columns can be as wide as their content.
fn has_room(columns: &[(&str, Column)], rows: &[Vec<Cell>], options: TableOptions) -> bool {
    let Some(width) = options.width else { return true };
    let longest = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let needed: usize = columns
        .iter()
        .enumerate()
        .map(|(position, (head, kind))| {
            let cells = rows.iter().filter_map(|row| Some(longest(&row.get(position)?.content())));
            let content = cells.chain([longest(head)]).max().unwrap_or(0);
            let gap = if position + 1 == columns.len() { 0 } else { 2 };
            gap + if *kind == Column::Flexible { content.min(LEAST) } else { content }
        })
        .sum();
    needed <= usize::from(width)
}
