//! Which of a task's partitions is next: the one whose first record has the smallest timestamp.
//!
//! A binary heap that works step by step like Java's `PriorityQueue`, so that records with equal timestamps are processed in
//! the order in which Kafka Streams processes them.

/// Partitions that have records, by their place in the task.
#[derive(Debug, Default)]
pub(super) struct Heads(Vec<usize>);

impl Heads {
    /// Adds a partition that has records now. `head_ms` is the timestamp of a partition's first record.
    pub(super) fn offer(&mut self, partition: usize, head_ms: impl Fn(usize) -> i64) {
        let heap = &mut self.0;
        heap.push(partition);
        let mut at = heap.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if head_ms(partition) >= head_ms(heap[parent]) {
                break;
            }
            heap.swap(at, parent);
            at = parent;
        }
    }

    /// The partition that is next.
    pub(super) fn first(&self) -> Option<usize> {
        self.0.first().copied()
    }

    /// Takes out the partition that is next.
    pub(super) fn poll(&mut self, head_ms: impl Fn(usize) -> i64) -> Option<usize> {
        let heap = &mut self.0;
        let last = heap.pop()?;
        let Some(&first) = heap.first() else {
            return Some(last);
        };
        heap[0] = last;
        let mut at = 0;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            if left >= heap.len() {
                break;
            }
            let is_right = right < heap.len() && head_ms(heap[left]) > head_ms(heap[right]);
            let child = if is_right { right } else { left };
            if head_ms(last) <= head_ms(heap[child]) {
                break;
            }
            heap.swap(at, child);
            at = child;
        }
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::Heads;

    #[test]
    fn the_smallest_is_first_and_equal_ones_are_as_in_java() {
        let times = [5, 1, 5, 5, 0];
        let mut heads = Heads::default();
        for partition in [0, 2, 3, 1, 4] {
            heads.offer(partition, |partition| times[partition]);
        }
        assert_eq!(heads.first(), Some(4));
        let order: Vec<usize> = std::iter::from_fn(|| heads.poll(|partition| times[partition])).collect();
        assert_eq!(order[..2], [4, 1]);
        // Java's heap, by hand: [4, 1, 3, 2, 0], [1, 0, 3, 2], [2, 0, 3].
        assert_eq!(order[2..], [2, 3, 0]);
    }
}
