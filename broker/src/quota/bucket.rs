//! Tokens that come at a rate, as many as a window holds at most (KIP-599). Who takes more than there are has a debt: bursts
//! are possible, and the rate holds in the long run.

/// See the top of this file.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenBucket {
    tokens: f64,
    refilled_ms: i64,
}

impl TokenBucket {
    pub(super) fn full(burst: f64, now_ms: i64) -> Self {
        Self {
            tokens: burst,
            refilled_ms: now_ms,
        }
    }

    /// What came since the last time. A limit that was changed holds from the last time on.
    pub(super) fn refill(&mut self, limit: f64, burst: f64, now_ms: i64) {
        self.tokens = self.tokens_at(limit, burst, now_ms);
        self.refilled_ms = now_ms;
    }

    fn tokens_at(&self, limit: f64, burst: f64, now_ms: i64) -> f64 {
        let seconds = now_ms.saturating_sub(self.refilled_ms).max(0) as f64 / 1000.0;
        burst.min(self.tokens + limit * seconds)
    }

    pub(super) fn is_full(&self, limit: f64, burst: f64, now_ms: i64) -> bool {
        self.tokens_at(limit, burst, now_ms) >= burst
    }

    pub(super) fn take(&mut self, tokens: f64) {
        self.tokens -= tokens;
    }

    /// How long it takes until what was taken too much is there again.
    pub(super) fn debt_ms(&self, limit: f64) -> i32 {
        (-self.tokens / limit.max(f64::MIN_POSITIVE) * 1000.0)
            .round()
            .clamp(0.0, f64::from(i32::MAX)) as i32
    }
}
