//! `/help` as HTML: the table of [`super::help`] in the frame `help_page.html`, which loads nothing else.

use super::help::Family;

const FRAME: &str = include_str!("help_page.html");
/// The placeholder for the tables.
const PLACE: &str = "{{endpoints}}\n";

pub fn page(families: &[&Family]) -> String {
    FRAME.replace(PLACE, &tables(families))
}

/// One table per family.
fn tables(families: &[&Family]) -> String {
    let mut html = String::new();
    for family in families {
        let mut rows = String::new();
        for endpoint in family.endpoints {
            let (path, example, does) = (escape(endpoint.path), escape(endpoint.example), escape(endpoint.does));
            rows.push_str(&format!("<tr><td><code>{path}</code></td><td>{does}</td>"));
            rows.push_str(&format!("<td><a href=\"{example}\"><code>{example}</code></a></td></tr>\n"));
        }
        html.push_str(&format!("<h2>{}</h2>\n<table>\n{rows}</table>\n", escape(family.heading)));
    }
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::help::FAMILIES;
    use super::*;

    #[test]
    fn what_means_something_in_html_is_escaped() {
        assert_eq!(escape(r#"a<b>&"c""#), "a&lt;b&gt;&amp;&quot;c&quot;");
    }

    #[test]
    fn every_endpoint_has_its_row_and_its_link() {
        assert!(FRAME.contains(PLACE), "the frame has no place for the table");
        let page = page(&FAMILIES.iter().collect::<Vec<_>>());
        for endpoint in FAMILIES.iter().flat_map(|family| family.endpoints) {
            assert!(page.contains(&format!("<td><code>{}</code></td>", escape(endpoint.path))), "{}", endpoint.path);
            assert!(page.contains(&format!("<a href=\"{}\">", escape(endpoint.example))), "{}", endpoint.example);
        }
        assert!(!page.contains("{{"), "something was not filled in");
    }
}
