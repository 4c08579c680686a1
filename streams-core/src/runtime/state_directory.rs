//! The directory of an application's persistent stores: one process at a time, one thread a task.
//!
//! ```text
//! <state.dir>/<application.id>/.lock                            held while the application runs
//!                              kafka-streams-process-metadata   this instance's id
//!                              0_3/rocksdb/<store>/             stores of task 0_3
//!                              global/rocksdb/<store>/          global stores
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::assignment::TaskId;
use crate::error::{Result, StreamsError};

const PROCESS_FILE: &str = "kafka-streams-process-metadata";
const PROCESS_FILE_VERSION: u32 = 1;

/// An application's directory, locked.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    path: PathBuf,
    process_id: Uuid,
    tasks: Mutex<BTreeSet<TaskId>>,
    /// Unlocked when dropped.
    _lock: File,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProcessFile {
    process_id: Uuid,
    version: u32,
}

/// Keeps other threads from opening a task's stores; released when dropped.
#[derive(Debug)]
pub(crate) struct TaskLock {
    directory: Arc<StateDirectory>,
    task: TaskId,
}

impl StateDirectory {
    /// Makes and locks the directory.
    pub(crate) fn open(state_dir: &Path, application_id: &str) -> Result<Self> {
        let path = state_dir.join(application_id);
        fs::create_dir_all(&path).map_err(|error| problem(&path, format!("cannot be made: {error}")))?;
        let lock_path = path.join(".lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path);
        let lock = lock.map_err(|error| problem(&lock_path, format!("cannot be opened: {error}")))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(problem(
                    &path,
                    "is in use by another process: stop it, or give this one another state directory",
                ));
            }
            Err(TryLockError::Error(error)) => {
                return Err(problem(&lock_path, format!("cannot be locked: {error}")));
            }
        }
        let process_id = process_id(&path)?;
        Ok(Self {
            path,
            process_id,
            tasks: Mutex::default(),
            _lock: lock,
        })
    }

    /// Identity of this instance; stays the same over restarts on the same directory.
    pub(crate) fn process_id(&self) -> Uuid {
        self.process_id
    }

    /// The directory of a task.
    pub(crate) fn task_path(&self, task: TaskId) -> PathBuf {
        self.path.join(task.to_string())
    }

    /// Where a store of a task lives.
    pub(crate) fn store_path(&self, task: TaskId, store: &str) -> PathBuf {
        self.task_path(task).join("rocksdb").join(store)
    }

    /// Where a global store lives.
    pub(crate) fn global_store_path(&self, store: &str) -> PathBuf {
        self.path.join("global").join("rocksdb").join(store)
    }

    /// Tasks that have state here.
    pub(crate) fn tasks(&self) -> Vec<TaskId> {
        let Ok(entries) = fs::read_dir(&self.path) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// The right to open a task's stores; `None` while another thread still has them open.
    pub(crate) fn try_lock_task(self: &Arc<Self>, task: TaskId) -> Option<TaskLock> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.insert(task).then(|| TaskLock {
            directory: Arc::clone(self),
            task,
        })
    }
}

impl Drop for TaskLock {
    fn drop(&mut self) {
        self.directory
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.task);
    }
}

fn process_id(directory: &Path) -> Result<Uuid> {
    let path = directory.join(PROCESS_FILE);
    match fs::read(&path) {
        Ok(bytes) => {
            let file: ProcessFile = serde_json::from_slice(&bytes).map_err(|error| {
                problem(
                    &path,
                    format!("cannot be understood: {error}; remove it to start as a new instance"),
                )
            })?;
            if file.version > PROCESS_FILE_VERSION {
                return Err(problem(
                    &path,
                    format!(
                        "is of version {}, this program knows up to {PROCESS_FILE_VERSION}: use the newer program",
                        file.version
                    ),
                ));
            }
            Ok(file.process_id)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let file = ProcessFile {
                process_id: Uuid::new_v4(),
                version: PROCESS_FILE_VERSION,
            };
            let bytes = serde_json::to_vec(&file).expect("an id and a number are always JSON");
            let fresh = directory.join(format!("{PROCESS_FILE}.tmp"));
            fs::write(&fresh, bytes)
                .and_then(|()| fs::rename(&fresh, &path))
                .map_err(|error| problem(&path, format!("cannot be written: {error}")))?;
            Ok(file.process_id)
        }
        Err(error) => Err(problem(&path, format!("cannot be read: {error}"))),
    }
}

fn problem(path: &Path, reason: impl Into<String>) -> StreamsError {
    StreamsError::File {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_its_identity_and_keeps_others_out() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDirectory::open(dir.path(), "app").unwrap();
        let id = first.process_id();
        let error = StateDirectory::open(dir.path(), "app").unwrap_err().to_string();
        assert!(error.contains("is in use by another process"), "{error}");
        drop(first);
        assert_eq!(StateDirectory::open(dir.path(), "app").unwrap().process_id(), id);
    }

    #[test]
    fn a_task_belongs_to_one_thread() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Arc::new(StateDirectory::open(dir.path(), "app").unwrap());
        let task = TaskId {
            subtopology: 0,
            partition: 1,
        };
        let lock = directory.try_lock_task(task).unwrap();
        assert!(directory.try_lock_task(task).is_none());
        drop(lock);
        assert!(directory.try_lock_task(task).is_some());
    }

    #[test]
    fn a_file_of_a_newer_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(StateDirectory::open(dir.path(), "app").unwrap());
        let path = dir.path().join("app").join(PROCESS_FILE);
        let newer = format!(r#"{{"processId":"{}","version":2}}"#, Uuid::new_v4());
        fs::write(&path, &newer).unwrap();
        let error = StateDirectory::open(dir.path(), "app").unwrap_err().to_string();
        assert!(
            error.contains("version 2") && error.contains(PROCESS_FILE),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), newer);
    }
}
