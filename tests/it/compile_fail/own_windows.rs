//! Windows cannot be of one's own, for aggregations would not know them.
use streams_dsl::Windows;
use streams_dsl::prelude::*;

struct Weeks;

impl Windows for Weeks {
    type Stream<K: Clone + 'static, V: Clone + 'static> = ();
    type Cogrouped<K: Clone + 'static, A: Clone + 'static> = ();

    fn group<K: Clone + 'static, V: Clone + 'static>(self, _: KGroupedStream<K, V>) {}

    fn cogroup<K: Clone + 'static, A: Clone + 'static>(self, _: CogroupedKStream<K, A>) {}
}

fn main() {}
