//! How long a request keeps the thread that serves it.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use streams_core::time::Clock;

/// Awaits a future; answers also for how long it kept its thread, which leaves out what it waited for.
pub(super) async fn timed<T>(clock: &dyn Clock, future: impl Future<Output = T>) -> (T, Duration) {
    let mut future = pin!(future);
    let mut spent = Duration::ZERO;
    let output = poll_fn(|context| {
        let begun = clock.elapsed();
        let polled = future.as_mut().poll(context);
        spent += clock.elapsed().saturating_sub(begun);
        polled
    })
    .await;
    (output, spent)
}

/// Of a second of one thread.
pub(super) fn percent(spent: Duration) -> f64 {
    spent.as_secs_f64() * 100.0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use streams_core::time::ManualClock;

    use super::*;

    #[tokio::test]
    async fn waiting_is_not_work() {
        let clock = Arc::new(ManualClock::new(0));
        let advance = |ms| {
            let clock = clock.clone();
            move || clock.advance(Duration::from_millis(ms))
        };
        let (work, wait) = (advance(30), advance(5_000));
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let request = async {
            work();
            receiver.await.unwrap();
            work();
        };
        let others = async {
            wait();
            sender.send(()).unwrap();
        };
        let (((), spent), ()) = tokio::join!(timed(&*clock, request), others);
        assert_eq!(spent, Duration::from_millis(60));
        assert!((percent(spent) - 6.0).abs() < 1e-9);
    }
}
