//! The limits of the whole server as bars, and what they held back.

use crate::admin::snapshot::Snapshot;
use crate::html::escape;
use tine_common::figures::count;
use tine_common::gauges::LimitState;
use tine_common::limit_status::{ClientsStatus, LimitsStatus, ResourceStatus};

/// Nothing where nothing is limited by an option.
pub fn limits(snapshot: &Snapshot) -> String {
    let Some(limits) = snapshot.status.limits.as_ref().filter(|limits| limits.is_any()) else { return String::new() };
    let of_clients = limits.clients.iter().map(|clients| row_of_clients(clients, limits));
    let rows: String = limits.resources.iter().map(|resource| row(resource, limits)).chain(of_clients).collect();
    let store = limits.store.as_ref().map_or(String::new(), |store| format!("; limit store {}", store.line()));
    let held_back = escape(&(limits.held_back() + &store));
    format!("<h2>Limits<small>{held_back}</small></h2>\n<div class=\"limits\">{rows}</div>\n")
}

fn row(resource: &ResourceStatus, limits: &LimitsStatus) -> String {
    let (colour, fill) = match resource.state {
        LimitState::Normal => ("good", ""),
        LimitState::Warning => ("busy", " warning"),
        LimitState::Violation => ("bad", " violation"),
    };
    format!(
        "<div><span>{}</span>{}<span>{} of {}</span><span class=\"state {colour}\">{}</span></div>\n",
        resource.name.name(),
        bar(resource.share(), fill),
        escape(&resource.show_used()),
        escape(&limits.limit_of(resource)),
        resource.state,
    )
}

/// The bar is the busiest client's.
fn row_of_clients(clients: &ClientsStatus, limits: &LimitsStatus) -> String {
    let (colour, fill, state) = match clients.at_limit {
        0 => ("good", "", "normal".to_string()),
        some => ("busy", " warning", format!("{} at limit", count(some))),
    };
    format!(
        "<div><span>{}</span>{}<span>{} of {}, busiest of {}</span><span class=\"state {colour}\">{state}</span></div>\n",
        escape(&clients.name),
        bar(clients.share(), fill),
        count(clients.busiest),
        escape(&limits.limit_of_clients(clients)),
        count(clients.clients),
    )
}

/// The policy of the page allows no style in an element, so that its width is an SVG's.
fn bar(share: f64, fill: &str) -> String {
    format!(
        "<svg class=\"bar\" viewBox=\"0 0 100 1\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"track\" width=\"100\" height=\"1\"/><rect class=\"fill{fill}\" width=\"{:.1}\" height=\"1\"/></svg>",
        100.0 * share
    )
}
