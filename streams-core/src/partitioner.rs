//! Which partition a record goes to: Kafka's default partitioner, byte for byte.

/// Partition of a record by its key's bytes: `(murmur2(key) & 0x7fffffff) % partitions`, as Kafka's producers do.
///
/// ```
/// use streams_core::partitioner::partition_for_key;
///
/// assert_eq!(partition_for_key(b"abc", 10), 7);
/// ```
#[must_use]
pub fn partition_for_key(key: &[u8], partitions: u32) -> i32 {
    if partitions <= 1 {
        return 0;
    }
    let positive = murmur2(key) & 0x7fff_ffff;
    i32::try_from(positive % partitions).expect("less than 2^31: the sign bit is masked off")
}

/// 32-bit MurmurHash2 with Kafka's seed, over little-endian words.
#[must_use]
pub fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::murmur2;

    #[test]
    fn agrees_with_kafka() {
        // Values of Kafka's own tests of its hash, which clients in other languages check against too.
        let cases: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (text, hash) in cases {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
        }
    }
}
