//! The threads that serve connections, each with a runtime of its own: a connection stays on its thread. A runtime over all threads
//! would wake a second thread for every request that comes in, to look for more work, which costs more than serving a small one.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

/// 2^64 divided by the golden ratio: multiples of it spread evenly, and in no rhythm that connections could be opened in.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Threads that serve connections.
#[derive(Debug)]
pub(super) struct Workers {
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    connections: AtomicU64,
}

impl Workers {
    pub(super) fn start(count: NonZeroUsize) -> io::Result<Self> {
        let mut workers = Self {
            handles: Vec::new(),
            threads: Vec::new(),
            stop: watch::channel(false).0,
            connections: AtomicU64::new(0),
        };
        for _ in 0..count.get() {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            workers.handles.push(runtime.handle().clone());
            let stopped = workers.stop.subscribe();
            let thread = thread::Builder::new().name("broker".to_owned());
            workers.threads.push(thread.spawn(|| drive(runtime, stopped))?);
        }
        Ok(workers)
    }

    /// Who is to serve the next connection.
    pub(super) fn next(&self) -> &Handle {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let place = u128::from(number.wrapping_mul(SPREAD)) * self.handles.len() as u128;
        &self.handles[(place >> u64::BITS) as usize]
    }

    /// Drops what still runs, and waits for the threads to end.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        for thread in self.threads {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

fn drive(runtime: Runtime, mut stopped: watch::Receiver<bool>) {
    runtime.block_on(async {
        // An error means that nobody is left who could say so.
        let _ = stopped.wait_for(|stop| *stop).await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_are_spread_also_every_second_of_them() {
        for count in [1, 2, 3, 8] {
            let workers = Workers::start(NonZeroUsize::new(count).unwrap()).unwrap();
            let place = |handle: &Handle| {
                let found = workers.handles.iter().position(|one| one.id() == handle.id());
                found.unwrap()
            };
            let served: Vec<usize> = (0..100 * count).map(|_| place(workers.next())).collect();
            for rhythm in 1..4 {
                for worker in 0..count {
                    let taken = served
                        .iter()
                        .step_by(rhythm)
                        .filter(|one| **one == worker)
                        .count();
                    assert!(
                        taken.abs_diff(100 / rhythm) <= 10,
                        "{taken} of every {rhythm}th on {worker} of {count}"
                    );
                }
            }
            workers.stop().await;
        }
    }

    #[tokio::test]
    async fn a_task_runs_on_the_thread_it_was_given_to() {
        let workers = Workers::start(NonZeroUsize::MIN).unwrap();
        let ran = workers
            .next()
            .spawn(async { thread::current().name().map(str::to_owned) });
        assert_eq!(ran.await.unwrap().as_deref(), Some("broker"));
        workers.stop().await;
    }
}
