//! The limits of the whole server, the master's part: it judges what was measured, closes the gates while a limit of memory, CPU
//! or descriptors is exceeded, and changes the limits on request.
//!
//! Concurrency and rate are never exceeded, as admission is exact. What is compared with their limits is the *demand*: requests
//! that were admitted, that wait, and that were refused.

use super::Master;
use super::measuring::Recent;
use crate::limit_overrides::LimitOverrides;
use crate::limit_states::{LimitStates, Reading};
use std::time::{Duration, Instant};
use tine_common::gauges::{LimitState, Measured, Resource};
use tine_common::throttle::{Cause, Change, Count, Gate, Rate, Throttle, ThrottleLimits};

const GATES: [(Gate, Resource); 3] =
    [(Gate::Memory, Resource::Memory), (Gate::Cpu, Resource::Cpu), (Gate::Descriptors, Resource::Descriptors)];

/// What limiting keeps between the turns.
pub struct Limiting {
    configured: ThrottleLimits,
    overrides: LimitOverrides,
    states: LimitStates,
    demand: Demand,
    last_change: String,
}

impl Limiting {
    pub fn new(configured: ThrottleLimits) -> Limiting {
        Limiting {
            configured,
            overrides: LimitOverrides::default(),
            states: LimitStates::default(),
            demand: Demand::default(),
            last_change: String::new(),
        }
    }

    pub fn overrides(&self) -> &LimitOverrides {
        &self.overrides
    }

    /// What the last change while the server runs was.
    pub fn last_change(&self) -> &str {
        &self.last_change
    }
}

/// What is wanted of the limits that are exact.
#[derive(Default)]
struct Demand {
    /// Requests that were held back so far, for each of the two causes.
    held_back: [u64; 2],
    /// Requests that were refused because of the rate.
    refused_by_rate: Recent,
    /// There is a limit of memory, and none is reported; that was logged.
    is_memory_unknown: bool,
}

impl Demand {
    /// Whether requests were held back since the last time.
    fn was_held_back(&mut self, throttle: Throttle, cause: Cause) -> bool {
        let counts = [Count::Waited(cause), Count::Refused(cause), Count::WouldRefuse(cause)];
        let held_back = counts.into_iter().map(|count| throttle.counted(count)).sum();
        let before = &mut self.held_back[usize::from(cause == Cause::Rate)];
        std::mem::replace(before, held_back) < held_back
    }

    /// The most requests at one time that were answered or waited: more than the limit only if one was held back, still waits,
    /// or goes on since the limit was lowered. `uncounted`: requests in flight, where some hold no permit as it is a dry run.
    fn concurrency(&mut self, throttle: Throttle, most: usize, uncounted: u64) -> u64 {
        let (peak, most) = (throttle.take_peak().max(uncounted), most as u64);
        let in_flight = uncounted.max(throttle.in_flight() as u64);
        let is_over = in_flight > most || in_flight == most && throttle.waiting().for_server() > 0;
        let was_held_back = self.was_held_back(throttle, Cause::Concurrency);
        if is_over || was_held_back { peak.max(most + 1) } else { peak.min(most) }
    }

    /// The requests within the rate's window: more than its count only if one was held back or still waits.
    fn rate(&mut self, throttle: Throttle, rate: Rate, now: Instant) -> u64 {
        let admitted = throttle.admitted_in_window(now).map_or(0, |(admitted, _)| admitted);
        let refused = [Count::Refused(Cause::Rate), Count::WouldRefuse(Cause::Rate)];
        let refused = refused.into_iter().map(|count| throttle.counted(count)).sum();
        let refused = self.refused_by_rate.within(rate.window, refused, now);
        let waiting = throttle.waiting().for_server() as u64;
        let is_over = admitted >= rate.count && waiting > 0;
        match self.was_held_back(throttle, Cause::Rate) || is_over {
            true => (admitted + refused + waiting).max(rate.count + 1),
            false => admitted,
        }
    }
}

impl Master {
    /// Whether anything has to be measured for a limit.
    pub(super) fn has_limits(&self) -> bool {
        self.scoreboard.throttle().limits().is_any()
    }

    /// This master is the service from now on: the configured limits are in force, and over them those that an operator had set
    /// in the master before this one, as `texts` has them.
    pub(super) fn begin_limiting(&mut self, text: &str) {
        let (throttle, Limiting { configured, overrides, .. }) = (self.scoreboard.throttle(), &mut self.limiting);
        let before = std::mem::replace(overrides, LimitOverrides::of_text(text));
        // With memory of its own it begins twice.
        if !self.succession.is_pending() {
            log_outdated(overrides, configured);
        }
        overrides.forget_outdated(configured);
        let mut limits = overrides.over(configured);
        if let Err(line) = throttle.fits(&limits) {
            log::warn!("limits of the master before this one are not kept: {line}");
            (*overrides, limits) = (LimitOverrides::default(), *configured);
        } else if *overrides != before {
            log::info!("limits set by tine ctl are kept: {}", overrides.changes().join(", "));
        }
        throttle.set(&limits);
        self.scoreboard.masters().lead();
    }

    /// This master stays the service: the one that was to take over has ended, and may have set its own limits.
    pub(super) fn keep_limiting(&self) {
        let Limiting { configured, overrides, .. } = &self.limiting;
        self.scoreboard.throttle().set(&overrides.over(configured));
        self.scoreboard.masters().lead();
    }

    /// Whether this master judges the limits and sets them: another one that has the same memory may be the service.
    pub(super) fn is_in_charge(&self) -> bool {
        let is_guest = self.succession.is_pending() && self.memory.is_taken_on();
        let is_host = self.stopping.has_handed_over() && self.scoreboard.masters().is_led_by_another();
        !is_guest && !is_host
    }

    /// Compares what was measured with the limits, logs what has changed, and opens and closes the gates.
    pub(super) fn judge(&mut self, measured: &mut Measured, now: Instant) {
        let throttle = self.scoreboard.throttle();
        let limits = throttle.limits();
        let in_flight = measured.concurrency;
        let readings = self.limiting.demand.readings(throttle, &limits, measured, now);
        let throttling = if limits.is_dry_run { "throttling nothing (dry run)" } else { "throttling requests" };
        let Limiting { states, .. } = &mut self.limiting;
        let warn = limits.warn_percent as f64 / 100.0;
        let before = states.states();
        for (level, text) in states.update(&readings, warn, throttling, now) {
            log::log!(level, "{text}");
        }
        measured.states = states.states();
        for resource in Resource::ALL {
            let state = measured.states.get(resource);
            if state != before.get(resource) && state != LimitState::Normal {
                self.scoreboard.gauges().count(resource, state);
            }
        }
        for (gate, resource) in GATES {
            let is_over = measured.states.get(resource) == LimitState::Violation;
            throttle.set_gate(gate, is_over && limits.is_any());
        }
        if let Some((level, text)) = states.sum_up(measured, in_flight, now) {
            log::log!(target: tine_common::log::NUMBERS, level, "{text}");
        }
    }

    /// Nothing is limited, and nothing is measured.
    pub(super) fn judge_nothing(&mut self) {
        self.limiting.states = LimitStates::default();
        let throttle = self.scoreboard.throttle();
        GATES.into_iter().for_each(|(gate, _)| throttle.set_gate(gate, false));
    }

    /// Changes limits while the server runs. The error is one line; nothing has changed then.
    pub(super) fn change_limits(&mut self, changes: &[Change], source: &str) -> Result<(), String> {
        let throttle = self.scoreboard.throttle();
        let before = throttle.limits();
        let mut limits = before;
        changes.iter().for_each(|change| change.apply(&mut limits));
        throttle.fits(&limits)?;
        // With the other options, as at the start.
        let mut config = self.config.clone();
        config.worker.throttle.limits = limits;
        config.check()?;
        throttle.set(&limits);
        self.limiting.overrides.set(changes, &self.limiting.configured);
        let was = |change: &Change| format!("{change} (was {})", change.setting.get(&before));
        self.limiting.last_change = changes.iter().map(was).collect::<Vec<_>>().join(", ");
        log::info!("{source}: limits changed: {}", self.limiting.last_change);
        self.pass_on_limits();
        Ok(())
    }

    /// The configured limits are these from now on. What `tine ctl limit` has set stays, see [`LimitOverrides`].
    pub(super) fn configure_limits(&mut self, mut configured: ThrottleLimits) {
        let throttle = self.scoreboard.throttle();
        if let Err(line) = throttle.fits(&configured) {
            log::error!("--limit-rate stays as it is: {line}");
            configured.rate = self.limiting.configured.rate;
        }
        let before = std::mem::replace(&mut self.limiting.configured, configured);
        if before == configured {
            return;
        }
        log_outdated(&self.limiting.overrides, &configured);
        if self.is_in_charge() {
            throttle.set(&self.limiting.overrides.over(&configured));
        }
    }

    /// The configured limits are those of a reload that has succeeded.
    pub(super) fn settle_limits(&mut self) {
        let Limiting { overrides, configured, .. } = &mut self.limiting;
        overrides.forget_outdated(configured);
    }
}

fn log_outdated(overrides: &LimitOverrides, configured: &ThrottleLimits) {
    for change in overrides.outdated(configured) {
        let (name, now) = (change.setting.name(), change.setting.get(configured));
        log::info!("limit {name} is {now}, as configured; tine ctl had set it to {}", change.value);
    }
}

impl Demand {
    /// One reading for each resource that has a limit.
    fn readings(
        &mut self,
        throttle: Throttle,
        limits: &ThrottleLimits,
        measured: &mut Measured,
        now: Instant,
    ) -> Vec<Reading> {
        let mut readings = Vec::new();
        let mut read = |resource, used: f64, limit: f64, period| {
            readings.push(Reading { resource, used, limit, period });
        };
        if let Some(most) = limits.concurrency {
            let uncounted = if limits.is_dry_run { measured.concurrency } else { 0 };
            measured.concurrency = self.concurrency(throttle, most, uncounted);
            read(Resource::Concurrency, measured.concurrency as f64, most as f64, Duration::ZERO);
        }
        if let Some(rate) = limits.rate {
            measured.rate = self.rate(throttle, rate, now);
            read(Resource::Rate, measured.rate as f64, rate.count as f64, rate.window);
        }
        match limits.memory_bytes.zip(measured.memory_bytes) {
            Some((limit, used)) => read(Resource::Memory, used as f64, limit as f64, Duration::ZERO),
            None if limits.memory_bytes.is_some() && !std::mem::replace(&mut self.is_memory_unknown, true) => {
                log::error!("--limit-memory has no effect: the kernel does not report the memory of processes");
            }
            None => {}
        }
        if let Some(limit) = limits.cpu_percent {
            read(Resource::Cpu, measured.cpu_percent, limit as f64, Duration::ZERO);
        }
        if measured.descriptors_max > 0 {
            // The next one cannot be opened: that is over the limit.
            let is_none_left = measured.descriptors == measured.descriptors_max;
            let used = measured.descriptors + u64::from(is_none_left);
            read(Resource::Descriptors, used as f64, measured.descriptors_max as f64, Duration::ZERO);
        }
        readings
    }
}
