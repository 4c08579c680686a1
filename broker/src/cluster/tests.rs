//! What was decided is there after a start; what was only tried, or could not be, is not.

use super::*;

fn set_default(cluster: &Cluster, value: &str, kept: Change) -> Result<(), TopicError> {
    cluster.update(|state| {
        state
            .broker_defaults
            .insert("log.retention.ms".to_owned(), value.to_owned());
        Ok(((), kept))
    })
}

#[test]
fn a_change_is_in_force_at_once_and_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).unwrap();
    let before = cluster.current();
    set_default(&cluster, "5", Change::Keep).unwrap();
    set_default(&cluster, "6", Change::Discard).unwrap();
    assert!(before.broker_defaults.is_empty(), "who reads keeps what it read");
    for cluster in [cluster, Cluster::open(dir.path()).unwrap()] {
        assert_eq!(cluster.current().broker_defaults["log.retention.ms"], "5");
    }
}

#[test]
fn a_file_that_is_damaged_or_newer_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (content, words) in [("{", "EOF"), ("{\"version\": 9}", "its format is 9")] {
        std::fs::write(dir.path().join(CLUSTER_FILE), content).unwrap();
        let error = Cluster::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains(CLUSTER_FILE), "{error}");
    }
}
