//! Client quotas: which limit holds for whom, and how long a client that is over it must be quiet. Values only: bytes and time
//! in, milliseconds out.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};

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
    if !value.is_finite() || value <= 0.0 || WHOLE_LIMITS.contains(&key) && !is_whole {
        let whole = if WHOLE_LIMITS.contains(&key) { "whole " } else { "" };
        return Err(format!("{key} must be a {whole}number above 0, and not {value}"));
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

/// Which part of an entity a quota names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    /// None: whoever it is.
    Absent,
    /// Whoever has no quota of its own.
    Default,
    /// This one.
    Named(String),
}

/// Limits of users and clients, as they are looked up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QuotaLimits {
    by_entity: HashMap<(Part, Part), BTreeMap<String, f64>>,
}

impl QuotaLimits {
    /// The limits of these quotas.
    pub fn new(quotas: &[ClientQuota]) -> Self {
        let part = |entity: &QuotaEntity, kind: &str| match entity.get(kind) {
            None => Part::Absent,
            Some(None) => Part::Default,
            Some(Some(name)) => Part::Named(name.clone()),
        };
        let of_clients = quotas.iter().filter(|quota| !quota.entity.contains_key(IP));
        let by_entity = of_clients.map(|quota| {
            let entity = (part(&quota.entity, USER), part(&quota.entity, CLIENT_ID));
            (entity, quota.limits.clone())
        });
        Self {
            by_entity: by_entity.collect(),
        }
    }

    /// Whether nobody has a limit.
    pub fn is_empty(&self) -> bool {
        self.by_entity.is_empty()
    }

    /// The limit that holds for a user and client id, and who shares it: of those that are about them the most specific one.
    fn limit_of(&self, rate: Rate, user: &str, client_id: &str) -> Option<(Sharers, f64)> {
        let parts = |name: &str| [Part::Named(name.to_owned()), Part::Default, Part::Absent];
        for of_user in parts(user) {
            for of_client in parts(client_id) {
                let entity = (of_user.clone(), of_client);
                let limits = self.by_entity.get(&entity);
                let Some(limit) = limits.and_then(|limits| limits.get(rate.limit())) else {
                    continue;
                };
                let sharers = Sharers {
                    rate,
                    user: (entity.0 != Part::Absent).then(|| user.to_owned()),
                    client_id: (entity.1 != Part::Absent).then(|| client_id.to_owned()),
                };
                return Some((sharers, *limit));
            }
        }
        None
    }
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
        limits: &QuotaLimits,
        rate: Rate,
        (user, client_id): (&str, &str),
        bytes: usize,
        now_ms: i64,
    ) -> i32 {
        let Some((sharers, limit)) = limits.limit_of(rate, user, client_id) else {
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
