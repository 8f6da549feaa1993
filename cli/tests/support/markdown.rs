//! Tables of the documentation, as tests read them.

use std::path::Path;

/// The first table of a file in docs/ whose first heading is `corner`: the headings and the rows, cell by cell.
#[track_caller]
pub fn table(file: &str, corner: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let cells = |line: &str| {
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner.split('|').map(|cell| cell.trim().to_string()).collect::<Vec<_>>()
    };
    let mut lines = text.lines().skip_while(|line| !line.starts_with('|') || cells(line)[0] != corner);
    let headings = cells(lines.next().unwrap_or_else(|| panic!("{file} has no table that begins with {corner:?}")));
    // The line of dashes is not a row.
    let rows: Vec<_> = lines.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect();
    for row in &rows {
        assert_eq!(row.len(), headings.len(), "a row of {file} with other columns than its table: {row:?}");
    }
    (headings, rows)
}
