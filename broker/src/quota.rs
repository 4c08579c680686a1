//! Client quotas: which limit holds for whom, and how long a client that is over it must be quiet. Values only: bytes and time
//! in, milliseconds out.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};

use crate::cluster::{ClientQuota, QuotaEntity};
use crate::handler::QuotaWindow;

/// The part of an entity that is a user.
pub const USER: &str = "user";
/// The part of an entity that is a client id.
pub const CLIENT_ID: &str = "client-id";
/// The part of an entity that is an address.
pub const IP: &str = "ip";

/// What Kafka limits of users and clients.
const CLIENT_LIMITS: [&str; 4] = [
    "producer_byte_rate",
    "consumer_byte_rate",
    "request_percentage",
    "controller_mutation_rate",
];
/// What Kafka limits of addresses.
const IP_LIMITS: [&str; 1] = ["connection_creation_rate"];
/// Limits that are whole numbers.
const WHOLE_LIMITS: [&str; 3] = [
    "producer_byte_rate",
    "consumer_byte_rate",
    "connection_creation_rate",
];

/// Says whether an entity may have this limit.
///
/// # Errors
/// Why not.
pub fn check_limit(entity: &QuotaEntity, key: &str, value: f64) -> Result<(), String> {
    let known: &[&str] = if entity.contains_key(IP) {
        &IP_LIMITS
    } else {
        &CLIENT_LIMITS
    };
    if !known.contains(&key) {
        return Err(format!(
            "there is no limit {key:?} here, but {}",
            known.join(", ")
        ));
    }
    let is_whole = value.fract() == 0.0;
    if !value.is_finite() || value < 0.0 || WHOLE_LIMITS.contains(&key) && !is_whole {
        let whole = if WHOLE_LIMITS.contains(&key) { "whole " } else { "" };
        return Err(format!(
            "{key} must be a {whole}number from 0 on, and not {value}"
        ));
    }
    Ok(())
}

/// A rate that is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rate {
    /// Bytes of Produce requests.
    Produce,
    /// Bytes of Fetch responses.
    Fetch,
}

impl Rate {
    fn limit(self) -> &'static str {
        match self {
            Self::Produce => "producer_byte_rate",
            Self::Fetch => "consumer_byte_rate",
        }
    }
}

/// The limit that holds for a user and client id, and who shares it: of those that are about them the most specific one.
fn limit_of(quotas: &[ClientQuota], rate: Rate, user: &str, client_id: &str) -> Option<(Sharers, f64)> {
    let of = |entity: &QuotaEntity, kind: &str, name: &str| match entity.get(kind) {
        None => Some(0),
        Some(None) => Some(1),
        Some(Some(named)) => (named == name).then_some(2),
    };
    let candidates = quotas.iter().filter_map(|quota| {
        let limit = *quota.limits.get(rate.limit())?;
        let (of_user, of_client) = (
            of(&quota.entity, USER, user)?,
            of(&quota.entity, CLIENT_ID, client_id)?,
        );
        (of_user + of_client > 0).then_some(((of_user, of_client), limit))
    });
    let ((of_user, of_client), limit) = candidates.max_by_key(|(specific, _)| *specific)?;
    let sharers = Sharers {
        rate,
        user: (of_user > 0).then(|| user.to_owned()),
        client_id: (of_client > 0).then(|| client_id.to_owned()),
    };
    Some((sharers, limit))
}

/// Whose bytes count together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Sharers {
    rate: Rate,
    user: Option<String>,
    client_id: Option<String>,
}

/// Most rates that are measured at a time; then those are forgotten that nobody used of late.
const MAX_RATES: usize = 10_000;

/// What clients used of late.
#[derive(Debug)]
pub struct Quotas {
    window: QuotaWindow,
    rates: HashMap<Sharers, Samples>,
}

/// Bytes by the time their sample began, the oldest first.
#[derive(Debug, Default)]
struct Samples(VecDeque<(i64, f64)>);

impl Quotas {
    /// Nothing was used yet.
    pub fn new(window: QuotaWindow) -> Self {
        Self {
            window,
            rates: HashMap::new(),
        }
    }

    /// Counts `bytes` of a client; answers for how many milliseconds it must be quiet, 0 if it keeps to its limit.
    pub fn record(
        &mut self,
        quotas: &[ClientQuota],
        rate: Rate,
        (user, client_id): (&str, &str),
        bytes: usize,
        now_ms: i64,
    ) -> i32 {
        let Some((sharers, limit)) = limit_of(quotas, rate, user, client_id) else {
            return 0;
        };
        let window = self.window;
        if self.rates.len() >= MAX_RATES && !self.rates.contains_key(&sharers) {
            self.rates.retain(|_, samples| samples.is_used(window, now_ms));
            if self.rates.len() >= MAX_RATES {
                return 0;
            }
        }
        let samples = self.rates.entry(sharers).or_default();
        samples.add(window, bytes as f64, now_ms);
        samples.excess_ms(window, limit, now_ms)
    }
}

impl Samples {
    fn is_used(&self, window: QuotaWindow, now_ms: i64) -> bool {
        let begins_ms = now_ms.saturating_sub(window.length_ms());
        self.0.back().is_some_and(|(begun_ms, _)| *begun_ms > begins_ms)
    }

    fn add(&mut self, window: QuotaWindow, bytes: f64, now_ms: i64) {
        let begins_ms = now_ms.saturating_sub(window.length_ms());
        while self.0.front().is_some_and(|(begun_ms, _)| *begun_ms <= begins_ms) {
            self.0.pop_front();
        }
        match self.0.back_mut() {
            Some((begun_ms, sum)) if now_ms < begun_ms.saturating_add(window.sample_ms) => *sum += bytes,
            _ => self.0.push_back((now_ms, bytes)),
        }
    }

    /// How long nothing may be added until the rate over the window is down at the limit.
    fn excess_ms(&self, window: QuotaWindow, limit: f64, now_ms: i64) -> i32 {
        let sum: f64 = self.0.iter().map(|(_, bytes)| bytes).sum();
        let since_ms = self.0.front().map_or(now_ms, |(begun_ms, _)| *begun_ms);
        // A client that has just begun is measured over the whole window but for the last sample, as by Kafka: its first
        // request would otherwise have no bounds.
        let least_ms = window.length_ms() - window.sample_ms;
        let measured_ms = now_ms
            .saturating_sub(since_ms)
            .max(least_ms)
            .max(window.sample_ms) as f64;
        let allowed = limit.max(f64::MIN_POSITIVE) * measured_ms / 1000.0;
        let excess = (sum - allowed) / allowed * measured_ms;
        // A limit of nothing would be silence for ever: as long as the window is enough to ask again.
        excess.clamp(0.0, window.length_ms() as f64 * 60.0) as i32
    }
}

impl QuotaWindow {
    fn length_ms(self) -> i64 {
        i64::try_from(self.samples)
            .unwrap_or(i64::MAX)
            .saturating_mul(self.sample_ms)
    }
}
