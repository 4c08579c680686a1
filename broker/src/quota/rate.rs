//! A rate over the samples of a window, as Kafka measures it.

use std::collections::VecDeque;

use crate::handler::QuotaWindow;

/// Amounts by the time their sample began, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Samples(VecDeque<(i64, f64)>);

impl Samples {
    pub(crate) fn is_used(&self, window: QuotaWindow, now_ms: i64) -> bool {
        let begins_ms = now_ms.saturating_sub(window.length_ms());
        self.0.back().is_some_and(|(begun_ms, _)| *begun_ms > begins_ms)
    }

    /// Counts an amount; one below zero takes back what was counted before.
    pub(crate) fn add(&mut self, window: QuotaWindow, amount: f64, now_ms: i64) {
        let begins_ms = now_ms.saturating_sub(window.length_ms());
        while self.0.front().is_some_and(|(begun_ms, _)| *begun_ms <= begins_ms) {
            self.0.pop_front();
        }
        match self.0.back_mut() {
            Some((begun_ms, sum)) if now_ms < begun_ms.saturating_add(window.sample_ms) => *sum += amount,
            _ => self.0.push_back((now_ms, amount)),
        }
    }

    /// How long nothing may be added until the rate over the window is down at the limit.
    pub(crate) fn excess_ms(&self, window: QuotaWindow, limit: f64, now_ms: i64) -> i32 {
        let sum: f64 = self.0.iter().map(|(_, amount)| amount).sum();
        let since_ms = self.0.front().map_or(now_ms, |(begun_ms, _)| *begun_ms);
        let measured_ms = now_ms.saturating_sub(since_ms).max(window.least_measured_ms()) as f64;
        let allowed = limit.max(f64::MIN_POSITIVE) * measured_ms / 1000.0;
        let excess = (sum - allowed) / allowed * measured_ms;
        // A limit of nothing would be silence for ever: as long as the window is enough to ask again.
        excess.clamp(0.0, window.length_ms() as f64 * 60.0) as i32
    }
}
