//! What operators can be told beside what they do: serdes, names, stores. Required by position, optional by chaining.
//!
//! A serde is either given, or taken from the stream it travelled with, or the type's own: [`SerdeOf`] says which, so that
//! an operator that needs a serde always has one, or does not compile.

use std::fmt::Debug;
use std::sync::Arc;

use streams_core::serde::{DefaultSerde, Serde};

/// Which serde to use.
pub(crate) enum SerdeOf<T> {
    /// This one.
    Given(Arc<dyn Serde<T>>),
    /// The one the stream carries, else the type's own.
    Carried(fn() -> Arc<dyn Serde<T>>),
}

impl<T> SerdeOf<T> {
    pub(crate) fn carried() -> Self
    where
        T: DefaultSerde,
    {
        Self::Carried(T::default_serde)
    }

    pub(crate) fn resolve(self, carried: Option<&Arc<dyn Serde<T>>>) -> Arc<dyn Serde<T>> {
        match (self, carried) {
            (Self::Given(serde), _) => serde,
            (Self::Carried(_), Some(serde)) => Arc::clone(serde),
            (Self::Carried(default), None) => default(),
        }
    }
}

impl<T> Clone for SerdeOf<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Given(serde) => Self::Given(Arc::clone(serde)),
            Self::Carried(default) => Self::Carried(*default),
        }
    }
}

impl<T> Debug for SerdeOf<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given(serde) => write!(f, "Given({serde:?})"),
            Self::Carried(_) => write!(f, "Carried"),
        }
    }
}

// The examples are given where the macros are used, since each is of one type.
macro_rules! key_value_options {
    ($type:ident, $(#[$example:meta])+ with, $(#[$key:meta])+ key_serde, $(#[$value:meta])+ value_serde) => {
        impl<K: DefaultSerde, V: DefaultSerde> Default for $type<K, V> {
            fn default() -> Self {
                Self::of(SerdeOf::carried(), SerdeOf::carried())
            }
        }

        impl<K, V> $type<K, V> {
            /// With these serdes; the types then need no default ones.
            ///
            $(#[$example])+
            #[must_use]
            pub fn with(key_serde: Arc<dyn Serde<K>>, value_serde: Arc<dyn Serde<V>>) -> Self {
                Self::of(SerdeOf::Given(key_serde), SerdeOf::Given(value_serde))
            }
        }

        impl<K, V: DefaultSerde> $type<K, V> {
            /// With this serde of keys, and for values that of the stream or the type.
            ///
            $(#[$key])+
            #[must_use]
            pub fn key_serde(key_serde: Arc<dyn Serde<K>>) -> Self {
                Self::of(SerdeOf::Given(key_serde), SerdeOf::carried())
            }
        }

        impl<K: DefaultSerde, V> $type<K, V> {
            /// With this serde of values, and for keys that of the stream or the type.
            ///
            $(#[$value])+
            #[must_use]
            pub fn value_serde(value_serde: Arc<dyn Serde<V>>) -> Self {
                Self::of(SerdeOf::carried(), SerdeOf::Given(value_serde))
            }
        }
    };
}

macro_rules! named_options {
    ($type:ident, $names:literal, $(#[$named:meta])+ named, $(#[$with_name:meta])+ with_name) => {
        impl<K: DefaultSerde, V: DefaultSerde> $type<K, V> {
            #[doc = concat!("With this name, which ", $names, ", and the serdes of the stream or the types.")]
            ///
            $(#[$named])+
            #[must_use]
            pub fn named(name: impl Into<String>) -> Self {
                Self::default().with_name(name)
            }
        }

        impl<K, V> $type<K, V> {
            #[doc = concat!("Sets the name, which ", $names, ".")]
            ///
            $(#[$with_name])+
            #[must_use]
            pub fn with_name(mut self, name: impl Into<String>) -> Self {
                self.name = Some(name.into());
                self
            }
        }
    };
}

macro_rules! debug_options {
    ($type:ident) => {
        impl<K, V> std::fmt::Debug for $type<K, V> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type))
                    .field("key_serde", &self.key_serde)
                    .field("value_serde", &self.value_serde)
                    .finish_non_exhaustive()
            }
        }
    };
}

mod buffer_config;
mod consumed;
mod grouped;
mod joined;
mod materialized;
mod produced;
mod repartitioned;
mod stream_joined;
mod table_joined;

pub use buffer_config::{BufferConfig, StrictBufferConfig};
pub use consumed::Consumed;
pub use grouped::Grouped;
pub use joined::Joined;
pub use materialized::Materialized;
pub use produced::Produced;
pub use repartitioned::Repartitioned;
pub(crate) use stream_joined::SideStore;
pub use stream_joined::StreamJoined;
pub(crate) use table_joined::KeyPartitioner;
pub use table_joined::TableJoined;
