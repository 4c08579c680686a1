//! The seam to where schemas are kept, and a registry in memory.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::{SCHEMAS_MAX, SerdeError};

/// Where schemas are kept by subject, and numbered (Confluent's `SchemaRegistryClient`). Schemas are JSON.
///
/// Serdes ask once for what they then remember. An error ends what they do, so it says which subject or id it is about.
pub trait SchemaRegistry: Send + Sync + Debug {
    /// The id of `schema`, which becomes one of the subject's if it is not yet.
    ///
    /// # Errors
    /// If the registry does not answer, or refuses: the schema does not go with earlier ones of the subject, say.
    fn register(&self, subject: &str, schema: &str) -> Result<i32, SerdeError>;

    /// The id of `schema`, which is one of the subject's.
    ///
    /// # Errors
    /// If it is not, or the registry does not answer.
    fn id_of(&self, subject: &str, schema: &str) -> Result<i32, SerdeError>;

    /// The schema with this id.
    ///
    /// # Errors
    /// If there is none, it is not an Avro schema, or the registry does not answer.
    fn schema(&self, id: i32) -> Result<String, SerdeError>;
}

/// A registry for tests, which accepts every schema (Confluent's `MockSchemaRegistryClient`). Ids begin at 1; a schema has the same
/// one in all subjects. Has at most [`SCHEMAS_MAX`] schemas.
///
/// ```
/// use streams_core::serde::{InMemorySchemaRegistry, SchemaRegistry};
///
/// let registry = InMemorySchemaRegistry::new();
/// assert_eq!(registry.register("orders-value", r#""string""#)?, 1);
/// assert_eq!(registry.schema(1)?, r#""string""#);
/// assert!(registry.id_of("orders-key", r#""string""#).is_err());
/// # Ok::<(), streams_core::serde::SerdeError>(())
/// ```
#[derive(Debug, Default)]
pub struct InMemorySchemaRegistry {
    schemas: Mutex<Vec<Registered>>,
}

#[derive(Debug)]
struct Registered {
    schema: Value,
    json: String,
    subjects: BTreeSet<String>,
}

impl InMemorySchemaRegistry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn schemas(&self) -> MutexGuard<'_, Vec<Registered>> {
        self.schemas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SchemaRegistry for InMemorySchemaRegistry {
    fn register(&self, subject: &str, schema: &str) -> Result<i32, SerdeError> {
        let json = parse(schema)?;
        let mut schemas = self.schemas();
        let known = schemas.iter().position(|known| known.schema == json);
        let index = known.unwrap_or(schemas.len());
        if index == SCHEMAS_MAX {
            let full = format!("a schema registry in memory has at most {SCHEMAS_MAX} schemas");
            return Err(SerdeError::new(full));
        }
        if known.is_none() {
            schemas.push(Registered {
                schema: json,
                json: schema.to_owned(),
                subjects: BTreeSet::new(),
            });
        }
        schemas[index].subjects.insert(subject.to_owned());
        Ok(id(index))
    }

    fn id_of(&self, subject: &str, schema: &str) -> Result<i32, SerdeError> {
        let json = parse(schema)?;
        let schemas = self.schemas();
        let found = schemas
            .iter()
            .position(|known| known.schema == json && known.subjects.contains(subject));
        found
            .map(id)
            .ok_or_else(|| SerdeError::new(format!("the schema is not registered for the subject {subject}")))
    }

    fn schema(&self, id: i32) -> Result<String, SerdeError> {
        let index = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        let schemas = self.schemas();
        let found = index.and_then(|index| schemas.get(index));
        let json = found.map(|schema| schema.json.clone());
        json.ok_or_else(|| SerdeError::new(format!("no schema with the id {id} is registered")))
    }
}

fn id(index: usize) -> i32 {
    i32::try_from(index + 1).expect("there are at most SCHEMAS_MAX")
}

fn parse(schema: &str) -> Result<Value, SerdeError> {
    serde_json::from_str(schema)
        .map_err(|error| SerdeError::new(format!("a schema is JSON, but {schema} is not: {error}")))
}
