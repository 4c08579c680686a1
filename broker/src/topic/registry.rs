//! The topics there are, by name and by id.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{Topic, TopicError};

#[derive(Debug, Default)]
pub(super) struct Registry {
    pub(super) by_name: HashMap<String, Arc<Topic>>,
    pub(super) by_id: HashMap<Uuid, Arc<Topic>>,
}

impl Registry {
    pub(super) fn insert(&mut self, topic: Arc<Topic>) {
        self.by_id.insert(topic.id(), topic.clone());
        self.by_name.insert(topic.name().to_owned(), topic);
    }

    pub(super) fn get(&self, name: &str) -> Result<&Arc<Topic>, TopicError> {
        self.by_name.get(name).ok_or_else(|| TopicError::UnknownTopic {
            name: name.to_owned(),
        })
    }
}
