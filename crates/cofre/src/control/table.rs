//! Tables for people: columns as wide as their widest cell.

/// A table, or `none` where there are no rows.
pub(crate) fn table(none: &str, headings: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return format!("{none}\n");
    }
    let headings: Vec<String> = headings.iter().map(|h| (*h).to_owned()).collect();
    let width = |column: usize| {
        let cells = std::iter::once(&headings).chain(rows).filter_map(|row| row.get(column));
        cells.map(|c| c.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..headings.len()).map(width).collect();
    let mut text = String::new();
    for row in std::iter::once(&headings).chain(rows) {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// An instant, to the second.
pub(crate) fn instant(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An instant, or a dash.
pub(crate) fn instant_or_dash(time: Option<jiff::Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec!["größer".to_owned(), String::new()]];
        assert_eq!(table("none", &["NAME", "X"], &rows), "NAME    X\na       b\ngrößer\n");
        assert_eq!(table("There is nothing.", &["NAME"], &[]), "There is nothing.\n");
        assert_eq!(instant("2026-01-02T03:04:05.678Z".parse().unwrap()), "2026-01-02T03:04:05Z");
    }
}
