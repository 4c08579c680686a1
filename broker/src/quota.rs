//! Client quotas: which limit holds for whom, and how long a client that is over it must be quiet. Values only: amounts and
//! time in, milliseconds out.

mod bucket;
mod rate;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::cluster::{ClientQuota, QuotaEntity};
use crate::handler::QuotaWindow;
use bucket::TokenBucket;
pub(crate) use rate::Samples;

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
const IP_LIMITS: [&str; 1] = [CONNECTION_CREATION_RATE];
const CONNECTION_CREATION_RATE: &str = "connection_creation_rate";
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
    /// Time that requests keep a thread, in percent of one thread.
    Request,
    /// Partitions that are created and deleted (KIP-599).
    Mutation,
}

impl Rate {
    fn limit(self) -> &'static str {
        match self {
            Self::Produce => "producer_byte_rate",
            Self::Fetch => "consumer_byte_rate",
            Self::Request => "request_percentage",
            Self::Mutation => "controller_mutation_rate",
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

/// Limits of users, clients and addresses, as they are looked up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QuotaLimits {
    by_entity: HashMap<(Part, Part), BTreeMap<String, f64>>,
    /// New connections a second from an address; None is every one without a limit of its own.
    by_address: HashMap<Option<IpAddr>, f64>,
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
        let of_addresses = quotas.iter().filter_map(|quota| {
            let limit = *quota.limits.get(CONNECTION_CREATION_RATE)?;
            let address = match quota.entity.get(IP)? {
                Some(address) => Some(address.parse().ok()?),
                None => None,
            };
            Some((address, limit))
        });
        Self {
            by_entity: by_entity.collect(),
            by_address: of_addresses.collect(),
        }
    }

    /// Whether no user and no client has a limit.
    pub fn is_empty(&self) -> bool {
        self.by_entity.is_empty()
    }

    /// Whether anybody has a limit of this.
    pub fn has(&self, rate: Rate) -> bool {
        let mut all = self.by_entity.values();
        all.any(|limits| limits.contains_key(rate.limit()))
    }

    /// How many connections a second may come from an address; None is any number.
    pub fn connection_rate(&self, address: IpAddr) -> Option<f64> {
        let own = self.by_address.get(&Some(address));
        own.or_else(|| self.by_address.get(&None)).copied()
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

/// Whose amounts count together.
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
    mutation_window: QuotaWindow,
    rates: HashMap<Sharers, Samples>,
    buckets: HashMap<Sharers, TokenBucket>,
}

impl Quotas {
    /// Nothing was used yet.
    pub fn new(window: QuotaWindow, mutation_window: QuotaWindow) -> Self {
        Self {
            window,
            mutation_window,
            rates: HashMap::new(),
            buckets: HashMap::new(),
        }
    }

    /// Counts what a client used; answers for how many milliseconds it must be quiet, 0 if it keeps to its limit.
    pub fn record(
        &mut self,
        limits: &QuotaLimits,
        rate: Rate,
        (user, client_id): (&str, &str),
        amount: f64,
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
        samples.add(window, amount, now_ms);
        let excess_ms = samples.excess_ms(window, limit, now_ms);
        match rate {
            // As by Kafka: time is used by whoever asks, and a long silence would be taken for a broker that is gone.
            Rate::Request => excess_ms.min(window.sample_ms as i32),
            _ => excess_ms,
        }
    }

    /// The most that a client may use within the window; None if it has no limit.
    pub fn most(&self, limits: &QuotaLimits, rate: Rate, (user, client_id): (&str, &str)) -> Option<f64> {
        let (_, limit) = limits.limit_of(rate, user, client_id)?;
        Some(limit * self.window.least_measured_ms() as f64 / 1000.0)
    }

    /// Counts changes of partitions, which are refused as long as there were too many, or only counted if `is_strict` is
    /// false. Answers for how many milliseconds no more should be asked for, 0 if these were within the limit.
    pub fn change(
        &mut self,
        limits: &QuotaLimits,
        (user, client_id): (&str, &str),
        partitions: usize,
        is_strict: bool,
        now_ms: i64,
    ) -> i32 {
        let Some((sharers, limit)) = limits.limit_of(Rate::Mutation, user, client_id) else {
            return 0;
        };
        let burst = limit * self.mutation_window.length_ms() as f64 / 1000.0;
        if self.buckets.len() >= MAX_RATES && !self.buckets.contains_key(&sharers) {
            self.buckets
                .retain(|_, bucket| !bucket.is_full(limit, burst, now_ms));
            if self.buckets.len() >= MAX_RATES {
                return 0;
            }
        }
        let full = || TokenBucket::full(burst, now_ms);
        let bucket = self.buckets.entry(sharers).or_insert_with(full);
        bucket.refill(limit, burst, now_ms);
        if is_strict && bucket.debt_ms(limit) > 0 {
            return bucket.debt_ms(limit);
        }
        bucket.take(partitions as f64);
        if is_strict { 0 } else { bucket.debt_ms(limit) }
    }
}

impl QuotaWindow {
    /// Over how long a client is measured at least. One that has just begun is measured over the whole window but for the last
    /// sample, as by Kafka: its first request would otherwise have no bounds.
    fn least_measured_ms(self) -> i64 {
        (self.length_ms() - self.sample_ms).max(self.sample_ms)
    }

    fn length_ms(self) -> i64 {
        i64::try_from(self.samples)
            .unwrap_or(i64::MAX)
            .saturating_mul(self.sample_ms)
    }
}
