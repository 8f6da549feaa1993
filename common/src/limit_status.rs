//! The part of the [`Status`](crate::status::Status) about the limits of the whole server. It is made of shared memory alone.

use crate::figures::{bytes, count, percent};
use crate::gauges::{LimitState, Resource};
use crate::scoreboard::Scoreboard;
use crate::throttle::{Cause, Count, Setting, Shares, Throttle, ThrottleLimits};
use crate::units::counted;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::time::Instant;

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitsStatus {
    /// Each resource that has a limit.
    pub resources: Vec<ResourceStatus>,
    /// Each limit that every client has for itself.
    pub clients: Vec<ClientsStatus>,
    /// Requests that wait for room now.
    pub waiting: u64,
    /// Requests that were admitted by a limit.
    pub admitted: u64,
    /// Requests that had to wait, whatever became of them.
    pub waited: u64,
    /// Requests whose clients left while they waited.
    pub left: u64,
    /// Requests that were refused as there was no place to wait.
    pub queue_full: u64,
    /// Requests that were refused, those of `queue_full` included, by the limit that refused them.
    pub refused: BTreeMap<String, u64>,
    /// Requests that a dry run would have refused.
    pub would_refuse: BTreeMap<String, u64>,
    /// All settings in force by name, as `tine ctl limit` takes them.
    pub settings: BTreeMap<String, String>,
    /// Those of them that `tine ctl limit` has set: `concurrency=200`.
    pub set_by_ctl: Vec<String>,
    /// Only with `--limit-store`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreStatus>,
}

/// How the clients stand to a limit that each of them has. The tables know clients by a hash only, so none is named.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientsStatus {
    /// As `tine ctl limit` takes it: `client-rate`.
    pub name: String,
    /// In requests.
    pub limit: u64,
    /// Clients that use some of it now.
    pub clients: u64,
    /// Those of them that have nothing left.
    pub at_limit: u64,
    /// What the client that uses most of it uses.
    pub busiest: u64,
    /// Clients that a full table has forgotten, or requests that it has not counted, since the start.
    pub forgotten: u64,
}

impl ClientsStatus {
    fn all(throttle: Throttle, limits: &ThrottleLimits, now: Instant) -> Vec<ClientsStatus> {
        let one = |setting: Setting, limit: Option<u64>, cause, forgotten| {
            let usage = throttle.clients_use(cause, now)?;
            Some(ClientsStatus {
                name: setting.name().to_string(),
                limit: limit?,
                clients: usage.clients,
                at_limit: usage.at_limit,
                busiest: usage.most,
                forgotten: throttle.counted(forgotten),
            })
        };
        let (concurrency, rate) =
            (limits.client_concurrency.map(|most| most as u64), limits.client_rate.map(|rate| rate.count));
        let all = [
            one(Setting::ClientConcurrency, concurrency, Cause::ClientConcurrency, Count::NoPlaceForRequest),
            one(Setting::ClientRate, rate, Cause::ClientRate, Count::ForgottenClient),
        ];
        all.into_iter().flatten().collect()
    }

    /// The limit, as what it refuses is counted.
    pub fn cause(&self) -> Cause {
        if self.name == Setting::ClientRate.name() { Cause::ClientRate } else { Cause::ClientConcurrency }
    }

    /// From 0 to 1.
    pub fn share(&self) -> f64 {
        (self.busiest as f64 / self.limit.max(1) as f64).min(1.0)
    }

    /// `34 clients, 2 at the limit, 5 forgotten`.
    pub fn counts(&self) -> String {
        let mut text = format!("{}, {} at the limit", counted(self.clients, "client"), count(self.at_limit));
        if self.forgotten > 0 {
            text.push_str(&format!(", {} forgotten", count(self.forgotten)));
        }
        text
    }
}

/// The store of limits that servers have in common, and what this server has of them.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreStatus {
    pub reachable: bool,
    /// Since its last answer; `None`: it has never answered.
    pub contact_age_s: Option<f64>,
    /// Servers in contact with it, at that time.
    pub servers: u64,
    /// What this server admits by, as a part of the limits: `concurrency`, and `rate` in requests per window.
    pub shares: BTreeMap<String, u64>,
    /// What all servers together admit, as far as it is known: the lowest limits of any of them.
    pub limits: BTreeMap<String, u64>,
}

impl StoreStatus {
    /// `None`: the limits are not shared.
    pub fn of(throttle: Throttle, now: Instant) -> Option<StoreStatus> {
        let named = |shares: Shares| {
            let count = shares.rate.map(|rate| rate.count);
            let all = [("concurrency", shares.concurrency.map(|most| most as u64)), ("rate", count)];
            all.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))).collect()
        };
        throttle.is_shared().then(|| {
            let state = throttle.store_state();
            let since = |us| throttle.us(now).saturating_sub(us) as f64 / 1e6;
            StoreStatus {
                reachable: state.is_reachable,
                contact_age_s: state.contact_us.map(since),
                servers: state.servers,
                shares: named(throttle.shares()),
                limits: named(state.whole),
            }
        })
    }

    /// `reachable, 2 servers; concurrency 5 of 10, rate 50 of 100`.
    pub fn line(&self) -> String {
        let servers = counted(self.servers, "server");
        let contact = match (self.reachable, self.contact_age_s) {
            (true, _) => format!("reachable, {servers}"),
            (false, Some(age)) => format!("unreachable for {age:.0} s"),
            (false, None) => "never reached".to_string(),
        };
        let of = |name: &String| self.limits.get(name).map_or(String::new(), |limit| format!(" of {limit}"));
        let shares: Vec<String> =
            self.shares.iter().map(|(name, share)| format!("{name} {share}{}", of(name))).collect();
        if shares.is_empty() { contact } else { format!("{contact}; {}", shares.join(", ")) }
    }
}

/// How much of a resource is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceStatus {
    pub name: Resource,
    /// In requests, bytes, percent of one CPU, or descriptors of the worker that has the most; `None`: not measured.
    #[serde(serialize_with = "as_short_as_possible_or_null")]
    pub used: Option<f64>,
    #[serde(serialize_with = "as_short_as_possible")]
    pub limit: f64,
    /// Of a rate: the time in which the requests are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_s: Option<f64>,
    pub state: LimitState,
    /// How often it has become a warning, and a violation.
    pub warnings: u64,
    pub violations: u64,
}

impl LimitsStatus {
    pub fn of(scoreboard: &Scoreboard, set_by_ctl: &[String], now: Instant) -> LimitsStatus {
        let throttle = scoreboard.throttle();
        let limits = throttle.limits();
        let by_cause = |count: fn(Cause) -> Count| {
            let counts = Cause::ALL.into_iter().map(|cause| (cause.name().to_string(), throttle.counted(count(cause))));
            counts.filter(|&(_, count)| count > 0).collect::<BTreeMap<_, _>>()
        };
        LimitsStatus {
            resources: Resource::ALL.into_iter().filter_map(|one| resource(one, scoreboard, throttle, now)).collect(),
            clients: ClientsStatus::all(throttle, &limits, now),
            waiting: throttle.waiting().all as u64,
            admitted: throttle.counted(Count::Admitted),
            waited: by_cause(Count::Waited).values().sum(),
            left: throttle.counted(Count::Left),
            queue_full: throttle.counted(Count::QueueFull),
            refused: by_cause(Count::Refused),
            would_refuse: by_cause(Count::WouldRefuse),
            settings: Setting::ALL.map(|setting| (setting.name().to_string(), setting.get(&limits))).into(),
            set_by_ctl: set_by_ctl.to_vec(),
            store: StoreStatus::of(throttle, now),
        }
    }

    /// Whether anything is limited by an option.
    pub fn is_any(&self) -> bool {
        let is_set =
            |name: &str, value: &str| !matches!(name, "warn" | "wait" | "queue" | "dry-run") && value != Setting::OFF;
        self.settings.iter().any(|(name, value)| is_set(name, value))
    }

    pub fn refused_in_all(&self) -> u64 {
        self.refused.values().sum()
    }

    /// As it was set, with the time of a rate: `2000/min`.
    pub fn limit_of(&self, resource: &ResourceStatus) -> String {
        let set = self.settings.get(resource.name.name()).cloned();
        set.unwrap_or_else(|| show(resource.name, resource.limit))
    }

    /// `client-rate 87 of 100/min by the busiest of 34 clients, 2 at the limit`.
    pub fn line_of(&self, clients: &ClientsStatus) -> String {
        let (limit, counts) = (self.limit_of_clients(clients), clients.counts());
        format!("{} {} of {limit} by the busiest of {counts}", clients.name, count(clients.busiest))
    }

    /// As it was set, with the time of a rate.
    pub fn limit_of_clients(&self, clients: &ClientsStatus) -> String {
        self.settings.get(&clients.name).cloned().unwrap_or_else(|| count(clients.limit))
    }

    /// `3 wait, 120 waited, 17 refused (rate 12, concurrency 5)`.
    pub fn held_back(&self) -> String {
        let by_cause = |counts: &BTreeMap<String, u64>| {
            let all: Vec<String> = counts.iter().map(|(cause, number)| format!("{cause} {}", count(*number))).collect();
            if all.is_empty() { String::new() } else { format!(" ({})", all.join(", ")) }
        };
        let mut text = format!(
            "{} wait, {} waited, {} refused{}",
            counted(self.waiting, "request"),
            count(self.waited),
            count(self.refused_in_all()),
            by_cause(&self.refused)
        );
        if !self.would_refuse.is_empty() {
            let all: u64 = self.would_refuse.values().sum();
            text.push_str(&format!(", {} would have been held back{}", count(all), by_cause(&self.would_refuse)));
        }
        text
    }
}

impl ResourceStatus {
    /// How much is used: `82`, `256M`, `45%`.
    pub fn show_used(&self) -> String {
        self.used.map_or("-".to_string(), |used| show(self.name, used))
    }

    /// From 0 to 1.
    pub fn share(&self) -> f64 {
        self.used.map_or(0.0, |used| (used / self.limit.max(1.0)).clamp(0.0, 1.0))
    }
}

fn show(name: Resource, amount: f64) -> String {
    match name {
        Resource::Memory => bytes(amount as u64),
        Resource::Cpu => percent(amount),
        Resource::Concurrency | Resource::Rate | Resource::Descriptors => count(amount as u64),
    }
}

/// `None`: it has no limit.
fn resource(name: Resource, scoreboard: &Scoreboard, throttle: Throttle, now: Instant) -> Option<ResourceStatus> {
    let (limits, gauges) = (throttle.limits(), scoreboard.gauges());
    let measured = gauges.read(now);
    let (used, limit) = match name {
        Resource::Concurrency => (Some(throttle.in_flight() as f64), limits.concurrency? as f64),
        Resource::Rate => {
            (throttle.admitted_in_window(now).map(|(admitted, _)| admitted as f64), limits.rate?.count as f64)
        }
        Resource::Memory => {
            (measured.and_then(|all| all.memory_bytes).map(|bytes| bytes as f64), limits.memory_bytes? as f64)
        }
        Resource::Cpu => (measured.map(|all| all.cpu_percent), limits.cpu_percent? as f64),
        Resource::Descriptors => (Some(measured?.descriptors as f64), measured?.descriptors_max as f64),
    };
    Some(ResourceStatus {
        name,
        used,
        limit,
        window_s: limits.rate.filter(|_| name == Resource::Rate).map(|rate| rate.window.as_secs_f64()),
        state: measured.map(|all| all.states.get(name)).unwrap_or_default(),
        warnings: gauges.times(name, LimitState::Warning),
        violations: gauges.times(name, LimitState::Violation),
    })
}

/// Whole numbers without a point.
fn as_short_as_possible<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match number.fract() == 0.0 && *number >= 0.0 {
        true => serializer.serialize_u64(*number as u64),
        false => serializer.serialize_f64(*number),
    }
}

fn as_short_as_possible_or_null<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => as_short_as_possible(number, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gauges::Measured;
    use crate::throttle::ThrottleLimits;
    use std::time::Duration;

    #[test]
    fn it_has_each_limit_its_use_and_its_state() {
        let (board, now) = (Scoreboard::new(2).unwrap(), Instant::now());
        let none = LimitsStatus::of(&board, &[], now);
        assert!(none.resources.is_empty() && !none.is_any(), "{none:?}");
        assert_eq!((none.settings["concurrency"].as_str(), none.settings["wait"].as_str()), ("off", "1s"));
        let rate = "2000/min".parse().ok();
        board.throttle().set(&ThrottleLimits {
            concurrency: Some(100),
            rate,
            client_concurrency: Some(2),
            cpu_percent: Some(200),
            ..Default::default()
        });
        let seat = board.throttle().seat(0);
        let _held = seat.admit(board.throttle().us(now)).expect("room");
        let client = board.throttle().client("a");
        let _held = [(); 2].map(|()| seat.admit_client(client, board.throttle().us(now)).expect("room"));
        seat.count(Count::Refused(Cause::Rate));
        seat.count(Count::Waited(Cause::Concurrency));
        let mut measured = Measured { cpu_percent: 12.5, descriptors: 7, descriptors_max: 10, ..Measured::default() };
        measured.states.set(Resource::Rate, LimitState::Warning);
        board.gauges().publish(&measured, now);
        board.gauges().count(Resource::Rate, LimitState::Warning);
        let status = LimitsStatus::of(&board, &["rate=2000/min".to_string()], now + Duration::from_secs(1));
        assert!(status.is_any());
        assert_eq!((status.waited, status.refused_in_all()), (1, 1));
        let of_clients: Vec<String> = status.clients.iter().map(|clients| status.line_of(clients)).collect();
        assert_eq!(of_clients, ["client-concurrency 2 of 2 by the busiest of 1 client, 1 at the limit"]);
        let json = serde_json::to_string(&status).expect("JSON");
        for part in [
            r#"{"name":"concurrency","used":1,"limit":100,"state":"normal","warnings":0,"violations":0}"#,
            r#"{"name":"rate","used":1,"limit":2000,"window_s":60.0,"state":"warning","warnings":1,"violations":0}"#,
            r#"{"name":"cpu","used":12.5,"limit":200,"#,
            r#"{"name":"descriptors","used":7,"limit":10,"#,
            r#""refused":{"rate":1},"would_refuse":{}"#,
            r#"{"name":"client-concurrency","limit":2,"clients":1,"at_limit":1,"busiest":2,"forgotten":0}"#,
            r#""set_by_ctl":["rate=2000/min"]"#,
        ] {
            assert!(json.contains(part), "{part} in {json}");
        }
        assert_eq!(serde_json::from_str::<LimitsStatus>(&json).expect("the same"), status);
        assert_eq!(serde_json::from_str::<LimitsStatus>("{}").expect("of another version"), LimitsStatus::default());
    }

    #[test]
    fn a_store_is_told_with_what_is_had_of_it() {
        let line = |reachable, contact_age_s, shares: &[(&str, u64)]| {
            let named = |all: &[(&str, u64)]| all.iter().map(|(name, value)| (name.to_string(), *value)).collect();
            let limits = named(&[("concurrency", 10), ("rate", 100)]);
            StoreStatus { reachable, contact_age_s, servers: 2, shares: named(shares), limits }.line()
        };
        assert_eq!(
            line(true, Some(0.1), &[("concurrency", 5), ("rate", 50)]),
            "reachable, 2 servers; concurrency 5 of 10, rate 50 of 100"
        );
        assert_eq!(line(false, Some(12.4), &[("rate", 50)]), "unreachable for 12 s; rate 50 of 100");
        assert_eq!(line(false, None, &[]), "never reached");
    }
}
