//! The codecs of record batches. Producing and fetching never need them: batches are stored and served as they came. They are
//! for when the broker itself looks at records: null keys of a compacted topic, the exact offset of a timestamp, compaction,
//! and topics whose `compression.type` is not the producer's.

use std::io::{self, Read, Write};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::log::batch::{BatchError, Compression};
use crate::log::config::CompressionLevels;

/// The most bytes that the records of one batch may have when decompressed: a few kilobytes can be made to grow to gigabytes.
pub const MAX_DECOMPRESSED_BATCH_BYTES: usize = 256 * 1024 * 1024;

/// What Java clients write before snappy blocks (xerial's framing); others write one bare block.
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// The magic, and two version numbers.
const XERIAL_HEADER_BYTES: usize = 16;
/// A copy of 2 bytes at least makes 64 at most.
const MAX_SNAPPY_EXPANSION: usize = 32;
/// Bytes that go into one snappy block.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;

/// Decompresses the records of a batch into `target`, replacing what it held.
pub(crate) fn decompress(codec: Compression, records: &[u8], target: &mut Vec<u8>) -> Result<(), BatchError> {
    target.clear();
    match codec {
        Compression::None => {
            target.extend_from_slice(records);
            Ok(())
        }
        Compression::Gzip => read_bounded(codec, MultiGzDecoder::new(records), target),
        Compression::Snappy => snappy(records, target),
        Compression::Lz4 => read_bounded(codec, lz4_flex::frame::FrameDecoder::new(records), target),
        Compression::Zstd => {
            let decoder =
                zstd::stream::read::Decoder::with_buffer(records).map_err(|error| broken(codec, &error))?;
            read_bounded(codec, decoder, target)
        }
        Compression::Unknown(_) => Err(BatchError::UnsupportedCompression(codec)),
    }
}

/// Compresses the records of a batch. lz4 has one level here.
pub(crate) fn compress(
    codec: Compression,
    levels: CompressionLevels,
    records: &[u8],
) -> Result<Vec<u8>, BatchError> {
    let failed = |error: io::Error| broken(codec, &error);
    match codec {
        Compression::None => Ok(records.to_vec()),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), gzip_level(levels.gzip));
            encoder.write_all(records).map_err(failed)?;
            encoder.finish().map_err(failed)
        }
        Compression::Snappy => xerial(records),
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(records).map_err(failed)?;
            encoder.finish().map_err(|error| broken(codec, &error.into()))
        }
        Compression::Zstd => zstd::stream::encode_all(records, levels.zstd).map_err(failed),
        Compression::Unknown(_) => Err(BatchError::UnsupportedCompression(codec)),
    }
}

fn gzip_level(level: i32) -> flate2::Compression {
    u32::try_from(level).map_or_else(|_| flate2::Compression::default(), flate2::Compression::new)
}

fn read_bounded(codec: Compression, decoder: impl Read, target: &mut Vec<u8>) -> Result<(), BatchError> {
    // One byte more, to tell what fits exactly from what does not fit.
    let mut decoder = decoder.take(MAX_DECOMPRESSED_BATCH_BYTES as u64 + 1);
    decoder
        .read_to_end(target)
        .map_err(|error| broken(codec, &error))?;
    check_size(target.len())
}

fn check_size(bytes: usize) -> Result<(), BatchError> {
    if bytes <= MAX_DECOMPRESSED_BATCH_BYTES {
        Ok(())
    } else {
        Err(BatchError::DecompressedSize {
            limit: MAX_DECOMPRESSED_BATCH_BYTES,
        })
    }
}

fn snappy(records: &[u8], target: &mut Vec<u8>) -> Result<(), BatchError> {
    if !records.starts_with(&XERIAL_MAGIC) {
        return snappy_block(records, target);
    }
    let mut rest = records.get(XERIAL_HEADER_BYTES..).unwrap_or_default();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let block = behind.get(..length).ok_or(BatchError::Malformed {
            what: "a whole snappy block",
            position: records.len() - behind.len(),
        })?;
        snappy_block(block, target)?;
        rest = &behind[length..];
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(BatchError::Malformed {
            what: "the length of a snappy block",
            position: records.len() - rest.len(),
        })
    }
}

fn snappy_block(block: &[u8], target: &mut Vec<u8>) -> Result<(), BatchError> {
    let codec = Compression::Snappy;
    let size = snap::raw::decompress_len(block).map_err(|error| broken(codec, &error.into()))?;
    let start = target.len();
    check_size(start.saturating_add(size))?;
    // No element of a block makes more of its bytes than that: what claims more is damaged, and gets no memory.
    if size > block.len().saturating_mul(MAX_SNAPPY_EXPANSION) {
        return Err(BatchError::Malformed {
            what: "a possible size of a snappy block",
            position: 0,
        });
    }
    target.resize(start + size, 0);
    let written = snap::raw::Decoder::new()
        .decompress(block, &mut target[start..])
        .map_err(|error| broken(codec, &error.into()))?;
    target.truncate(start + written);
    Ok(())
}

fn xerial(records: &[u8]) -> Result<Vec<u8>, BatchError> {
    let mut framed = XERIAL_MAGIC.to_vec();
    framed.extend([0, 0, 0, 1, 0, 0, 0, 1]);
    let mut encoder = snap::raw::Encoder::new();
    for block in records.chunks(XERIAL_BLOCK_BYTES) {
        let block = encoder
            .compress_vec(block)
            .map_err(|error| broken(Compression::Snappy, &error.into()))?;
        framed.extend((block.len() as u32).to_be_bytes());
        framed.extend(block);
    }
    Ok(framed)
}

fn broken(codec: Compression, error: &io::Error) -> BatchError {
    BatchError::Decompression {
        codec,
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: CompressionLevels = CompressionLevels { gzip: -1, zstd: 3 };

    const CODECS: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    fn text() -> Vec<u8> {
        (0..20_000_u32)
            .flat_map(|number| (number / 7).to_be_bytes())
            .collect()
    }

    fn read(codec: Compression, bytes: &[u8]) -> Result<Vec<u8>, BatchError> {
        let mut target = b"old".to_vec();
        decompress(codec, bytes, &mut target).map(|()| target)
    }

    #[test]
    fn what_is_compressed_comes_back() {
        for codec in CODECS {
            for bytes in [text(), Vec::new()] {
                let packed = compress(codec, LEVELS, &bytes).unwrap();
                assert_eq!(read(codec, &packed).unwrap(), bytes, "{codec:?}");
            }
        }
    }

    #[test]
    fn snappy_is_read_bare_too_and_gzip_in_several_members() {
        let bytes = text();
        let bare = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
        assert_eq!(read(Compression::Snappy, &bare).unwrap(), bytes);
        let mut twice = compress(Compression::Gzip, LEVELS, &bytes).unwrap();
        twice.extend(compress(Compression::Gzip, LEVELS, b"more").unwrap());
        assert_eq!(
            read(Compression::Gzip, &twice).unwrap(),
            [&bytes[..], b"more"].concat()
        );
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        for codec in CODECS.into_iter().skip(1) {
            let packed = compress(codec, LEVELS, &text()).unwrap();
            for at in (0..packed.len()).step_by(97) {
                let mut damaged = packed.clone();
                damaged[at] ^= 0x55;
                let _ = read(codec, &damaged);
                let _ = read(codec, &packed[..at]);
            }
            assert!(
                read(codec, b"no such thing at all, whatever it is").is_err(),
                "{codec:?}"
            );
        }
        assert!(read(Compression::Unknown(7), b"").is_err());
    }

    #[test]
    fn what_grows_beyond_the_limit_is_refused() {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let zeros = vec![0; 1024 * 1024];
        for _ in 0..=MAX_DECOMPRESSED_BATCH_BYTES / zeros.len() {
            encoder.write_all(&zeros).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        assert!(matches!(
            read(Compression::Gzip, &bomb),
            Err(BatchError::DecompressedSize { .. })
        ));
    }
}
