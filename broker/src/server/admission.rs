//! Which connections are let in, and when: how many there may be, from all and from one address, and how many new ones a second.
//!
//! As in Kafka, a listener waits while there are too many connections, or too many new ones, and who wants to connect waits with
//! it. From an address that has too many, connections are closed at once; from one that makes too many, after a while, so that
//! it does not try again at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::config::NetworkConfig;
use crate::handler::QuotaWindow;
use crate::quota::{QuotaLimits, Samples};

/// A setting may change while somebody waits for a place: how often it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Most addresses whose new connections are counted at a time; then those are forgotten that made none of late.
const MAX_ADDRESSES: usize = 10_000;
/// Most connections that are kept open only to be closed later; others are closed at once.
const MAX_HELD_BACK: usize = 100;

/// The connections that there are, and the new ones of late.
#[derive(Debug)]
pub(super) struct Admission {
    window: QuotaWindow,
    state: Mutex<State>,
    freed: Notify,
    held_back: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    connections: usize,
    by_listener: HashMap<Arc<str>, usize>,
    by_address: HashMap<IpAddr, usize>,
    new: Samples,
    new_by_listener: HashMap<Arc<str>, Samples>,
    new_by_address: HashMap<IpAddr, Samples>,
}

/// A connection's place among those allowed; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    listener: Arc<str>,
    address: IpAddr,
}

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// `max.connections.per.ip`.
    TooMany,
    /// `connection_creation_rate`: it is to be closed after so long.
    TooFast(Duration),
}

impl Admission {
    pub(super) fn new(window: QuotaWindow) -> Arc<Self> {
        Arc::new(Self {
            window,
            state: Mutex::default(),
            freed: Notify::new(),
            held_back: Arc::new(Semaphore::new(MAX_HELD_BACK)),
        })
    }

    /// Counts a new connection; answers for how long its listener must wait before it is served.
    pub(super) fn arrived(&self, network: &NetworkConfig, listener: &Arc<str>, now_ms: i64) -> Duration {
        let mut state = self.lock();
        let of_all = network.max_connection_creation_rate;
        let wait = self.counted(&mut state.new, of_all, now_ms);
        let of_listener = network.max_connection_creation_rate_of(listener);
        let new = state.new_by_listener.entry(listener.clone()).or_default();
        wait.max(self.counted(new, of_listener, now_ms))
    }

    fn counted(&self, new: &mut Samples, limit: u32, now_ms: i64) -> Duration {
        if limit == i32::MAX as u32 {
            return Duration::ZERO;
        }
        new.add(self.window, 1.0, now_ms);
        self.bounded(new.excess_ms(self.window, f64::from(limit), now_ms))
    }

    /// Waits until there is room for one more: on a listener, and in all.
    pub(super) async fn wait_for_room(&self, network: impl Fn() -> NetworkConfig, listener: &str) {
        loop {
            // From here on no place that becomes free is missed, although it is not waited for yet.
            let freed = self.freed.notified();
            if self.has_room(&network(), listener) {
                return;
            }
            let _ = tokio::time::timeout(LOOK_AGAIN, freed).await;
        }
    }

    fn has_room(&self, network: &NetworkConfig, listener: &str) -> bool {
        let state = self.lock();
        let of_listener = state.by_listener.get(listener).copied().unwrap_or(0);
        state.connections < network.max_connections && of_listener < network.max_connections_of(listener)
    }

    /// Leave to keep a connection open for a while that is refused.
    pub(super) fn hold_back(&self) -> Option<OwnedSemaphorePermit> {
        self.held_back.clone().try_acquire_owned().ok()
    }

    /// A place for a connection.
    pub(super) fn admit(
        self: &Arc<Self>,
        network: &NetworkConfig,
        limits: &QuotaLimits,
        listener: &Arc<str>,
        address: IpAddr,
        now_ms: i64,
    ) -> Result<Place, Refused> {
        let overridden = network.max_connections_per_ip_overrides.get(&address.to_string());
        let limit = *overridden.unwrap_or(&network.max_connections_per_ip);
        let mut state = self.lock();
        if let Some(rate) = limits.connection_rate(address) {
            let wait = self.made(&mut state, listener, address, rate, now_ms);
            if !wait.is_zero() {
                return Err(Refused::TooFast(wait));
            }
        }
        if state.by_address.get(&address).copied().unwrap_or(0) >= limit {
            return Err(Refused::TooMany);
        }
        *state.by_address.entry(address).or_default() += 1;
        *state.by_listener.entry(listener.clone()).or_default() += 1;
        state.connections += 1;
        drop(state);
        Ok(Place {
            admission: self.clone(),
            listener: listener.clone(),
            address,
        })
    }

    /// Counts a new connection of an address, unless there were too many: then that of the listener is taken back too.
    fn made(
        &self,
        state: &mut State,
        listener: &Arc<str>,
        address: IpAddr,
        rate: f64,
        now_ms: i64,
    ) -> Duration {
        let window = self.window;
        if state.new_by_address.len() >= MAX_ADDRESSES && !state.new_by_address.contains_key(&address) {
            state
                .new_by_address
                .retain(|_, samples| samples.is_used(window, now_ms));
            if state.new_by_address.len() >= MAX_ADDRESSES {
                return Duration::ZERO;
            }
        }
        let samples = state.new_by_address.entry(address).or_default();
        samples.add(window, 1.0, now_ms);
        let wait = self.bounded(samples.excess_ms(window, rate, now_ms));
        if !wait.is_zero() {
            samples.add(window, -1.0, now_ms);
            state.new.add(window, -1.0, now_ms);
            if let Some(new) = state.new_by_listener.get_mut(listener) {
                new.add(window, -1.0, now_ms);
            }
        }
        wait
    }

    /// Nobody waits for longer than a sample of the window.
    fn bounded(&self, excess_ms: i32) -> Duration {
        let most_ms = self.window.sample_ms.max(0);
        Duration::from_millis(i64::from(excess_ms).clamp(0, most_ms) as u64)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The counts are whole whatever their holder did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        state.connections -= 1;
        if let Some(count) = state.by_listener.get_mut(&self.listener) {
            *count -= 1;
        }
        if let Some(count) = state.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                state.by_address.remove(&self.address);
            }
        }
        drop(state);
        // All listeners: the one that waits may be another one than that which has room now.
        self.admission.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;
    use crate::cluster::ClientQuota;
    use crate::config::ListenerOverrides;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn outer() -> Arc<str> {
        "OUTER".into()
    }

    fn admission() -> Arc<Admission> {
        Admission::new(QuotaWindow::default())
    }

    #[test]
    fn an_address_has_so_many_connections_and_no_more() {
        let admission = admission();
        let mut network = NetworkConfig {
            max_connections_per_ip: 2,
            ..NetworkConfig::default()
        };
        let limits = QuotaLimits::default();
        let admit = |network: &NetworkConfig| admission.admit(network, &limits, &outer(), ADDRESS, 0);
        let first = admit(&network).unwrap();
        let _second = admit(&network).unwrap();
        assert_eq!(admit(&network).unwrap_err(), Refused::TooMany);
        network
            .max_connections_per_ip_overrides
            .insert(ADDRESS.to_string(), 3);
        let _third = admit(&network).unwrap();
        assert_eq!(admit(&network).unwrap_err(), Refused::TooMany);
        drop(first);
        assert!(admit(&network).is_ok());
    }

    #[test]
    fn new_connections_come_at_a_rate() {
        let admission = admission();
        let network = NetworkConfig {
            max_connection_creation_rate: 2,
            ..NetworkConfig::default()
        };
        for _ in 0..20 {
            assert_eq!(admission.arrived(&network, &outer(), 0), Duration::ZERO);
        }
        assert_eq!(
            admission.arrived(&network, &outer(), 0),
            Duration::from_millis(500)
        );
        assert_eq!(
            admission.arrived(&network, &outer(), 0),
            Duration::from_millis(1_000)
        );
        assert_eq!(
            admission.arrived(&network, &outer(), 0),
            Duration::from_millis(1_000)
        );
        assert_eq!(admission.arrived(&network, &outer(), 20_000), Duration::ZERO);
    }

    #[test]
    fn an_address_that_is_too_fast_is_sent_away_and_does_not_count() {
        let admission = admission();
        let network = NetworkConfig::default();
        let limits = QuotaLimits::new(&[ClientQuota {
            entity: [("ip".to_owned(), None)].into(),
            limits: [("connection_creation_rate".to_owned(), 1.0)].into(),
        }]);
        for _ in 0..10 {
            assert!(admission.admit(&network, &limits, &outer(), ADDRESS, 0).is_ok());
        }
        for _ in 0..3 {
            let refused = admission
                .admit(&network, &limits, &outer(), ADDRESS, 0)
                .unwrap_err();
            assert_eq!(refused, Refused::TooFast(Duration::from_millis(1_000)));
        }
        assert!(
            admission
                .admit(&network, &limits, &outer(), ADDRESS, 12_000)
                .is_ok()
        );
    }

    #[tokio::test]
    async fn who_finds_no_room_waits_until_somebody_leaves() {
        let admission = admission();
        let (network, limits) = (NetworkConfig::default(), QuotaLimits::default());
        let place = admission.admit(&network, &limits, &outer(), ADDRESS, 0).unwrap();
        let one = || NetworkConfig {
            max_connections: 1,
            ..NetworkConfig::default()
        };
        let mut waiting = pin!(admission.wait_for_room(one, "INNER"));
        let patience = Duration::from_millis(20);
        assert!(tokio::time::timeout(patience, &mut waiting).await.is_err());
        drop(place);
        waiting.await;
    }

    #[tokio::test]
    async fn a_listener_has_limits_of_its_own() {
        let admission = admission();
        let own = ListenerOverrides {
            max_connections: Some(1),
            max_connection_creation_rate: Some(2),
            ..ListenerOverrides::default()
        };
        let network = NetworkConfig {
            listener_overrides: [("outer".to_owned(), own)].into(),
            ..NetworkConfig::default()
        };
        let place = admission
            .admit(&network, &QuotaLimits::default(), &outer(), ADDRESS, 0)
            .unwrap();
        admission.wait_for_room(|| network.clone(), "INNER").await;
        let mut waiting = pin!(admission.wait_for_room(|| network.clone(), "OUTER"));
        let patience = Duration::from_millis(20);
        assert!(tokio::time::timeout(patience, &mut waiting).await.is_err());
        drop(place);
        waiting.await;

        let inner: Arc<str> = "INNER".into();
        for _ in 0..20 {
            assert_eq!(admission.arrived(&network, &outer(), 0), Duration::ZERO);
        }
        assert_eq!(
            admission.arrived(&network, &outer(), 0),
            Duration::from_millis(500)
        );
        assert_eq!(admission.arrived(&network, &inner, 0), Duration::ZERO);
    }
}
