//! The limits of the whole server, as `tine ctl limit` and `tine ctl status` print them.

use super::show::count;
use tine_common::gauges::{LimitState, Resource};
use tine_common::limit_status::{LimitsStatus, ResourceStatus};
use tine_common::throttle::Setting;

/// Settings that limit nothing themselves.
const MANNERS: [Setting; 4] = [Setting::Warn, Setting::Wait, Setting::Queue, Setting::DryRun];

/// A row for each limit, set or not, then the other settings, and what was held back.
pub fn table(limits: &LimitsStatus) -> String {
    let mut text = format!(
        "{:<18} {:>10} {:>8} {:<9} {:>8} {:>9} {:>8}\n",
        "LIMIT", "VALUE", "USED", "STATE", "WARNINGS", "VIOLATED", "REFUSED"
    );
    let value = |setting: Setting| limits.settings.get(setting.name()).map_or("?", String::as_str);
    for setting in Setting::ALL.into_iter().filter(|setting| !MANNERS.contains(setting)) {
        let resource = limits.resources.iter().find(|one| one.name.name() == setting.name());
        let cause = setting.name().replace('-', "_");
        text.push_str(&row(setting.name(), value(setting), resource, limits.refused.get(&cause).copied()));
    }
    if let Some(resource) = limits.resources.iter().find(|one| one.name == Resource::Descriptors) {
        let refused = limits.refused.get(resource.name.name()).copied();
        text.push_str(&row(resource.name.name(), &count(resource.limit as u64), Some(resource), refused));
    }
    let manners = MANNERS.map(|setting| format!("{} {}", setting.name(), value(setting)));
    text.push_str(&format!("{}\n", manners.join(", ")));
    limits.clients.iter().for_each(|clients| text.push_str(&format!("{}\n", limits.line_of(clients))));
    text.push_str(&format!("{}\n", limits.held_back()));
    if let Some(store) = &limits.store {
        text.push_str(&format!("limit store: {}\n", store.line()));
    }
    if !limits.set_by_ctl.is_empty() {
        text.push_str(&format!("set by tine ctl: {}\n", limits.set_by_ctl.join(", ")));
    }
    text
}

fn row(name: &str, value: &str, resource: Option<&ResourceStatus>, refused: Option<u64>) -> String {
    let refused = refused.map_or(String::new(), count);
    let line = match resource {
        Some(resource) => format!(
            "{name:<18} {value:>10} {:>8} {:<9} {:>8} {:>9} {refused:>8}",
            resource.show_used(),
            resource.state.to_string(),
            count(resource.warnings),
            count(resource.violations),
        ),
        None => format!("{name:<18} {value:>10} {:>37} {refused:>8}", ""),
    };
    line.trim_end().to_string() + "\n"
}

/// `concurrency 82 of 100, warning`.
pub fn line(resource: &ResourceStatus, limits: &LimitsStatus) -> String {
    let name = resource.name.name();
    let limit = limits.limit_of(resource);
    let state = match resource.state {
        LimitState::Normal => String::new(),
        state => format!(", {state}"),
    };
    format!("{name} {} of {limit}{state}", resource.show_used())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use tine_common::limit_status::ClientsStatus;

    pub fn clients() -> ClientsStatus {
        let name = Setting::ClientRate.name().to_string();
        ClientsStatus { name, limit: 100, clients: 34, at_limit: 2, busiest: 100, forgotten: 0 }
    }

    /// Of a server under load.
    pub fn limits() -> LimitsStatus {
        let resource = |name, used, limit, state, warnings, violations| ResourceStatus {
            name,
            used,
            limit,
            window_s: (name == Resource::Rate).then_some(60.0),
            state,
            warnings,
            violations,
        };
        let settings = [
            ("concurrency", "100"),
            ("rate", "2000/min"),
            ("memory", "1G"),
            ("cpu", "200%"),
            ("client-concurrency", "off"),
            ("client-rate", "100/min"),
            ("warn", "80%"),
            ("wait", "1s"),
            ("queue", "1000"),
            ("dry-run", "off"),
        ];
        let counts = |counts: &[(&str, u64)]| counts.iter().map(|(name, count)| (name.to_string(), *count)).collect();
        LimitsStatus {
            resources: vec![
                resource(Resource::Concurrency, Some(82.0), 100.0, LimitState::Warning, 3, 0),
                resource(Resource::Rate, Some(2000.0), 2000.0, LimitState::Violation, 2, 1),
                resource(Resource::Memory, Some(268_750_029.0), 1_073_741_824.0, LimitState::Normal, 0, 0),
                resource(Resource::Cpu, None, 200.0, LimitState::Normal, 0, 0),
                resource(Resource::Descriptors, Some(87.0), 1_048_576.0, LimitState::Normal, 0, 0),
            ],
            clients: vec![clients()],
            waiting: 5,
            admitted: 123_456,
            waited: 640,
            refused: counts(&[("client_rate", 12), ("rate", 134)]),
            settings: settings.map(|(name, value)| (name.to_string(), value.to_string())).into(),
            set_by_ctl: vec!["cpu=200%".to_string()],
            ..LimitsStatus::default()
        }
    }

    #[test]
    fn the_table_has_every_limit() {
        let expected = "\
LIMIT                   VALUE     USED STATE     WARNINGS  VIOLATED  REFUSED
concurrency               100       82 warning          3         0
rate                 2000/min     2000 violation        2         1      134
memory                     1G     256M normal           0         0
cpu                      200%        - normal           0         0
client-concurrency        off
client-rate           100/min                                             12
descriptors             1.05M       87 normal           0         0
warn 80%, wait 1s, queue 1000, dry-run off
client-rate 100 of 100/min by the busiest of 34 clients, 2 at the limit
5 requests wait, 640 waited, 146 refused (client_rate 12, rate 134)
set by tine ctl: cpu=200%
";
        let text = table(&limits());
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn a_line_says_how_near_a_limit_is() {
        let limits = limits();
        let lines: Vec<String> = limits.resources.iter().map(|resource| line(resource, &limits)).collect();
        assert_eq!(
            lines,
            [
                "concurrency 82 of 100, warning",
                "rate 2000 of 2000/min, violation",
                "memory 256M of 1G",
                "cpu - of 200%",
                "descriptors 87 of 1.05M",
            ]
        );
    }
}
