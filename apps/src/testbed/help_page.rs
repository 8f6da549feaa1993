//! `/help` as HTML: the table of [`super::help`] in the frame `help_page.html`, which loads nothing else.

use super::help::Section;
use crate::html::escape;

const FRAME: &str = include_str!("help_page.html");
/// The placeholder for the tables.
const PLACE: &str = "{{endpoints}}\n";

/// `root_path`: before each link.
pub fn page(sections: &[Section], root_path: &str) -> String {
    FRAME.replace(PLACE, &tables(sections, &escape(root_path)))
}

/// One table per family.
fn tables(sections: &[Section], root: &str) -> String {
    let mut html = String::new();
    for section in sections {
        let mut rows = String::new();
        for line in &section.lines {
            let (usage, example, does) = (escape(line.usage), escape(line.example), escape(line.does));
            rows.push_str(&format!("<tr><td><code>{usage}</code></td><td>{does}</td>"));
            rows.push_str(&format!("<td><a href=\"{root}{example}\"><code>{example}</code></a></td></tr>\n"));
        }
        html.push_str(&format!("<h2>{}</h2>\n<table>\n{rows}</table>\n", escape(section.heading)));
    }
    html
}

#[cfg(test)]
mod tests {
    use super::super::endpoints::{ENDPOINTS, Endpoint, HelpLine};
    use super::super::help::sections;
    use super::*;

    #[test]
    fn every_endpoint_has_its_row_and_its_link() {
        assert!(FRAME.contains(PLACE), "the frame has no place for the table");
        let page = page(&sections(true), "");
        for HelpLine { usage, example, .. } in ENDPOINTS.iter().flat_map(Endpoint::lines) {
            assert!(page.contains(&format!("<td><code>{}</code></td>", escape(usage))), "{usage}");
            assert!(page.contains(&format!("<a href=\"{}\">", escape(example))), "{example}");
        }
        assert!(!page.contains("{{"), "something was not filled in");
    }
}
