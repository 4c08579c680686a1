//! What a compressed batch becomes when the broker itself has to look at its records (null keys of a
//! compacted topic, the exact offset of a timestamp). Producing and fetching never decompress: batches are
//! stored and served as they came. Kept apart so that codecs arrive in one place.

use crate::log::batch::{BatchError, Compression};

/// Decompresses the records of a batch into `target`, replacing what it held.
pub(crate) fn decompress(
    codec: Compression,
    _records: &[u8],
    target: &mut Vec<u8>,
) -> Result<(), BatchError> {
    target.clear();
    Err(BatchError::UnsupportedCompression(codec))
}
