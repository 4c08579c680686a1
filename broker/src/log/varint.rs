//! Zig-zag variable-length integers, as record batches use them: 32-bit `varint`s for lengths and
//! counts, 64-bit `varlong`s for timestamp deltas. They are apart because they are the innermost loop of
//! both directions. Reading is bounded by the slice and by the longest legal encoding, and never panics.

/// The most bytes a 32-bit varint takes.
pub(crate) const MAX_VARINT_BYTES: usize = 5;
/// The most bytes a 64-bit varlong takes.
pub(crate) const MAX_VARLONG_BYTES: usize = 10;

/// Reads a varint at `position` and moves past it; `None` if the slice ends or the number is too long.
#[inline(always)]
pub(crate) fn read_varint(buffer: &[u8], position: &mut usize) -> Option<i32> {
    let first = *buffer.get(*position)?;
    if first < 0x80 {
        *position += 1;
        return Some(unzigzag32(u32::from(first)));
    }
    let second = *buffer.get(*position + 1)?;
    if second < 0x80 {
        *position += 2;
        return Some(unzigzag32(u32::from(first & 0x7f) | (u32::from(second) << 7)));
    }
    let wide = read_unsigned(buffer, position, MAX_VARINT_BYTES)?;
    u32::try_from(wide).ok().map(unzigzag32)
}

/// Reads a varlong at `position` and moves past it; `None` if the slice ends or the number is too long.
#[inline(always)]
pub(crate) fn read_varlong(buffer: &[u8], position: &mut usize) -> Option<i64> {
    let first = *buffer.get(*position)?;
    if first < 0x80 {
        *position += 1;
        return Some(unzigzag64(u64::from(first)));
    }
    read_unsigned(buffer, position, MAX_VARLONG_BYTES).map(unzigzag64)
}

fn read_unsigned(buffer: &[u8], position: &mut usize, max_bytes: usize) -> Option<u64> {
    let mut value = 0_u64;
    for (index, &byte) in buffer.get(*position..)?.iter().take(max_bytes).enumerate() {
        let shift = 7 * index as u32;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            *position += index + 1;
            return Some(value);
        }
    }
    None
}

#[inline(always)]
fn unzigzag32(value: u32) -> i32 {
    ((value >> 1) as i32) ^ -((value & 1) as i32)
}

#[inline(always)]
fn unzigzag64(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// How many bytes [`write_varint`] takes for `value`.
#[inline(always)]
pub(crate) fn varint_size(value: i32) -> usize {
    varlong_size(i64::from(value))
}

/// How many bytes [`write_varlong`] takes for `value`.
#[inline(always)]
pub(crate) fn varlong_size(value: i64) -> usize {
    let bits = 64 - (zigzag64(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[inline(always)]
fn zigzag64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Writes `value` into `target` from `position` on and answers the position behind it. The caller has
/// room for [`MAX_VARINT_BYTES`].
#[inline(always)]
pub(crate) fn write_varint(target: &mut [u8], position: usize, value: i32) -> usize {
    write_varlong(target, position, i64::from(value))
}

/// Writes `value` into `target` from `position` on and answers the position behind it. The caller has
/// room for [`MAX_VARLONG_BYTES`].
#[inline(always)]
pub(crate) fn write_varlong(target: &mut [u8], mut position: usize, value: i64) -> usize {
    let mut rest = zigzag64(value);
    while rest >= 0x80 {
        target[position] = rest as u8 | 0x80;
        rest >>= 7;
        position += 1;
    }
    target[position] = rest as u8;
    position + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_survive_a_round_trip(value in any::<i64>(), shift in 0_u32..64) {
            let value = value >> shift;
            let mut buffer = [0; MAX_VARLONG_BYTES];
            let end = write_varlong(&mut buffer, 0, value);
            prop_assert_eq!(end, varlong_size(value));
            let mut position = 0;
            prop_assert_eq!(read_varlong(&buffer[..end], &mut position), Some(value));
            prop_assert_eq!(position, end);
            prop_assert_eq!(read_varlong(&buffer[..end - 1], &mut 0), None);
            if let Ok(small) = i32::try_from(value) {
                let mut position = 0;
                prop_assert_eq!(read_varint(&buffer[..end], &mut position), Some(small));
                prop_assert_eq!(position, varint_size(small));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..16)) {
            let _ = read_varlong(&bytes, &mut 0);
            let _ = read_varint(&bytes, &mut 0);
        }
    }

    #[test]
    fn an_encoding_that_is_too_long_is_refused() {
        assert_eq!(read_varlong(&[0xff; 16], &mut 0), None);
        assert_eq!(read_varint(&[0xff, 0xff, 0xff, 0xff, 0x7f], &mut 0), None);
    }
}
