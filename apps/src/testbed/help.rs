//! `/help`: the lines of [`ENDPOINTS`] under the headings of their families, as text or as HTML.

use super::endpoints::{ENDPOINTS, Endpoint, Family, HelpLine};
use super::help_page;
use crate::accept;
use tine_worker::app::Answer;
use tine_worker::http::{Request, Response, StatusCode};

/// Made once a worker and never freed.
pub struct Help {
    text: &'static str,
    page: &'static str,
}

impl Help {
    /// `has_faults`: whether the faults are enabled. `root_path`: where the origin is mounted.
    pub fn new(has_faults: bool, root_path: &str) -> Self {
        let sections = sections(has_faults);
        Help { text: text(&sections).leak(), page: help_page::page(&sections, root_path).leak() }
    }

    /// The page for clients that prefer HTML, such as browsers; text for clients with no preference, such as curl.
    pub fn answer(&self, request: &Request<'_>) -> Answer {
        let quality = |subkind| accept::quality(request.headers(), "text", subkind);
        let response = match quality("html") > quality("plain") {
            true => Response::new(StatusCode::OK).content_type("text/html; charset=utf-8").body(self.page),
            false => Response::text(StatusCode::OK, self.text),
        };
        response.header("Vary", "Accept").into()
    }
}

/// The lines of a family of endpoints.
pub struct Section {
    pub heading: &'static str,
    pub lines: Vec<&'static HelpLine>,
}

pub fn sections(has_faults: bool) -> Vec<Section> {
    let families = Family::ALL.into_iter().filter(|family| has_faults || *family != Family::Faults);
    let lines = |family| ENDPOINTS.iter().filter(move |endpoint| endpoint.family() == family).flat_map(Endpoint::lines);
    families.map(|family| Section { heading: family.heading(), lines: lines(family).collect() }).collect()
}

/// The description of a longer usage begins further right.
const USAGE_COLUMNS_MAX: usize = 34;

/// The list as plain text.
fn text(sections: &[Section]) -> String {
    let usages = sections.iter().flat_map(|section| &section.lines).map(|line| line.usage.len());
    let width = usages.max().unwrap_or(0).min(USAGE_COLUMNS_MAX);
    let mut text = String::from("Available endpoints:\n");
    for section in sections {
        text.push_str(&format!("\n{}\n", section.heading));
        for line in &section.lines {
            text.push_str(&format!("  {:<width$}  {}\n", line.usage, line.does));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disabled_faults_are_not_listed() {
        for (has_faults, lists) in [(true, true), (false, false)] {
            let help = Help::new(has_faults, "");
            assert_eq!((help.text.contains("/fault/reset"), help.page.contains("/fault/reset")), (lists, lists));
            assert!(help.text.contains("/ws/close") && help.page.contains("/ws/close"));
        }
    }
}
