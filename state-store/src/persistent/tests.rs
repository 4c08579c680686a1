//! What only a persistent store can do wrong: opening what it must not, and dying in the middle.

use super::*;

#[test]
fn conforms() {
    let directory = tempfile::tempdir().unwrap();
    crate::conformance::check_engine(&RocksDbEngine::default(), Some(directory.path()));
}
