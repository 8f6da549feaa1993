//! The answer to a request that is refused, and the lines that the log gets: one when it begins, one when it is over, however
//! many requests are refused.

use super::Local;
use crate::http::{Fields, Head, Response, StatusCode};
use bytes::Bytes;
use std::time::{Duration, Instant};
use tine_common::log::Burst;
use tine_common::throttle::{Cause, Client, Count, Denied, Quota, Rate, ThrottleLimits};
use tine_common::units::counted;

/// A burst of refusals is over after this long without one.
const BURST_QUIET: Duration = Duration::from_secs(2);
/// The longest `Retry-After` where the time until there is room is only estimated.
const ESTIMATE_SECONDS_MAX: u64 = 60;

/// Admissions are logged up to this much later than they are.
const ROUNDING_US: u64 = 2;

pub struct Refusals {
    refused: Burst,
    would_refuse: Burst,
    /// The last one: refusals come in bursts, and most are alike.
    last: Option<Refusal>,
}

impl Default for Refusals {
    fn default() -> Self {
        let burst = || Burst::new(1, BURST_QUIET);
        Refusals { refused: burst(), would_refuse: burst(), last: None }
    }
}

/// The fields that say what is left of the limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitFields {
    /// RateLimit-Policy
    pub policy: String,
    /// RateLimit
    pub left: String,
}

impl LimitFields {
    /// An application's own are left.
    pub fn add_to(&self, head: Head) -> Head {
        head.header("RateLimit-Policy", self.policy.clone()).header("RateLimit", self.left.clone())
    }

    pub fn add_to_response(&self, response: &mut Response) {
        let head = std::mem::replace(&mut response.head, Head::new(StatusCode::OK));
        response.head = self.add_to(head);
    }
}

/// A response, ready to be sent again.
struct Refusal {
    cause: Cause,
    seconds: u64,
    limits: ThrottleLimits,
    fields: Fields,
    body: Bytes,
}

impl Refusal {
    fn new(cause: Cause, seconds: u64, limits: &ThrottleLimits) -> Refusal {
        let (status, why, mut fields) = (status(cause), describe(cause, limits), Fields::new());
        fields.push(b"Retry-After", seconds.to_string().as_bytes()).expect("a valid field");
        let reason = status.canonical_reason().unwrap_or_default();
        let body = format!("{} {reason}: {why}; try again in {seconds} s\n", status.as_u16());
        Refusal { cause, seconds, limits: *limits, fields, body: body.into() }
    }

    fn response(&self) -> Response {
        let response = Response::text(status(self.cause), self.body.clone());
        Response { head: response.head.fields(self.fields.clone()), ..response }
    }
}

impl Refusals {
    pub fn refuse(&mut self, cause: Cause, retry_after_us: u64, limits: &ThrottleLimits, now: Instant) -> Response {
        let seconds = seconds(retry_after_us).max(1);
        if self.refused.admits(now) {
            log::warn!("{}: refusing requests with {}", describe(cause, limits), status(cause).as_u16());
        }
        if self.last.as_ref().is_none_or(|last| (last.cause, last.seconds, &last.limits) != (cause, seconds, limits)) {
            self.last = None;
        }
        self.last.get_or_insert_with(|| Refusal::new(cause, seconds, limits)).response()
    }

    /// In a dry run.
    pub fn would_refuse(&mut self, cause: Cause, limits: &ThrottleLimits, now: Instant) {
        if self.would_refuse.admits(now) {
            log::warn!("{}: without --limit-dry-run, requests would wait or be refused", describe(cause, limits));
        }
    }

    /// When [`Refusals::sum_up`] has something to log.
    pub fn deadline(&self) -> Option<Instant> {
        [&self.refused, &self.would_refuse].into_iter().filter_map(Burst::ends_at).min()
    }

    pub fn sum_up(&mut self, now: Instant) {
        if let Some(ended) = self.refused.ended(now) {
            log::warn!("refused {} by the limits within {}", counted(ended.count, "request"), ended.span());
        }
        if let Some(ended) = self.would_refuse.ended(now) {
            let (denied, span) = (counted(ended.count, "request"), ended.span());
            log::warn!("{denied} within {span} would have waited or been refused by the limits");
        }
    }
}

/// 429 for a client's own limit, 503 for the server's (RFC 6585, 4; RFC 9110, 15.6.4).
fn status(cause: Cause) -> StatusCode {
    if cause.is_clients() { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn describe(cause: Cause, limits: &ThrottleLimits) -> String {
    let number = |most: Option<usize>| most.map_or(String::new(), |most| format!("{most} "));
    let rate = |rate: Option<Rate>| rate.map_or(String::new(), |rate| format!(" of {rate}"));
    match cause {
        Cause::Concurrency => {
            format!("the server's limit of {}concurrent requests is reached", number(limits.concurrency))
        }
        Cause::Rate => format!("the server's rate limit{} is reached", rate(limits.rate)),
        Cause::Memory => "the server's memory limit is exceeded".to_string(),
        Cause::Cpu => "the server's CPU limit is exceeded".to_string(),
        Cause::Descriptors => "the server is short of file descriptors".to_string(),
        Cause::ClientConcurrency => {
            format!("the client's limit of {}concurrent requests is reached", number(limits.client_concurrency))
        }
        Cause::ClientRate => format!("the client's rate limit{} is reached", rate(limits.client_rate)),
    }
}

/// Rounded up, but for what the log of admissions rounds itself.
fn seconds(us: u64) -> u64 {
    us.saturating_sub(ROUNDING_US).div_ceil(1_000_000)
}

impl Local {
    /// The response to a request that is refused, as it is counted.
    pub(super) fn refuse_as(
        &self,
        count: Count,
        denied: Denied,
        client: Option<Client>,
        now: Instant,
    ) -> Box<Response> {
        self.seat.count(count);
        let (now_us, limits) = (self.us(now), self.seat.limits());
        let retry_after_us = self.retry_after_us(denied, &limits, now_us);
        let mut response = self.refusals.borrow_mut().refuse(denied.cause, retry_after_us, &limits, now);
        if let Some(fields) = self.limit_fields(client, now_us) {
            fields.add_to_response(&mut response);
        }
        Box::new(response)
    }

    /// When it is likely that there is room for one more request after those that wait.
    fn retry_after_us(&self, denied: Denied, limits: &ThrottleLimits, now_us: u64) -> u64 {
        let ahead = || {
            let waiting = self.seat.throttle().waiting();
            waiting.all.saturating_sub(waiting.for_clients) as u64
        };
        match denied.cause {
            // Known from the log of admissions, and from the client's word.
            Cause::Rate => self.seat.room_at_us(ahead(), now_us).unwrap_or(now_us).saturating_sub(now_us),
            Cause::ClientRate => denied.until_us.unwrap_or(now_us).saturating_sub(now_us),
            // As long as requests have been in flight on average, for each round of those that wait.
            Cause::Concurrency => {
                let rounds = 1 + ahead() / limits.concurrency.unwrap_or(1) as u64;
                (rounds * self.flight_us.get()).min(ESTIMATE_SECONDS_MAX * 1_000_000)
            }
            Cause::ClientConcurrency => self.flight_us.get().min(ESTIMATE_SECONDS_MAX * 1_000_000),
            // The master measures again within a second.
            Cause::Memory | Cause::Cpu | Cause::Descriptors => 0,
        }
    }

    /// RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-12); `None`: they were not asked for, or no rate
    /// is limited. Version 12 has the parameters a and w where versions 8 to 11 have r and t, and both ignore those of the other.
    pub(super) fn limit_fields(&self, client: Option<Client>, now_us: u64) -> Option<LimitFields> {
        if !self.has_headers {
            return None;
        }
        let client = client.and_then(|client| self.seat.client_quota(client, now_us));
        let quotas = [("client", client), ("server", self.seat.quota(now_us))];
        let quotas = quotas.into_iter().filter_map(|(name, quota)| quota.map(|(rate, quota)| (name, rate, quota)));
        let (mut policy, mut left) = (Vec::new(), Vec::new());
        for (name, rate, Quota { remaining, more_in_us }) in quotas {
            // The parameter w is in whole seconds.
            let window = match (rate.window.as_secs(), rate.window.subsec_nanos()) {
                (seconds, 0) => format!(";w={seconds}"),
                _ => String::new(),
            };
            policy.push(format!("\"{name}\";q={}{window}", rate.count));
            let more_in = seconds(more_in_us);
            left.push(format!("\"{name}\";a={remaining};w={more_in};r={remaining};t={more_in}"));
        }
        (!policy.is_empty()).then(|| LimitFields { policy: policy.join(", "), left: left.join(", ") })
    }
}
