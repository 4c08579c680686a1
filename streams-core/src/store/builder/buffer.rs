//! `TimeOrderedBufferBuilder`: changes that are held back, oldest first.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use state_store::Layout;

use super::{Common, StoreBuilder, said};
use crate::serde::Serde;
use crate::store::buffer::{LiveBuffer, Rows};
use crate::store::{OpenStore, OpenedStore, StoreKind, StoreSpec, TimeOrderedBuffer};
use crate::topology::ErasedHandle;

/// Declares a [`TimeOrderedBuffer`].
///
/// ```
/// use streams_core::serde::DefaultSerde;
/// use streams_core::store::TimeOrderedBufferBuilder;
///
/// let held_back =
///     TimeOrderedBufferBuilder::with_serdes("held-back", String::default_serde(), i64::default_serde()).logging_disabled();
/// ```
#[derive(Clone, Debug)]
pub struct TimeOrderedBufferBuilder<K, V> {
    common: Common,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
}

impl<K: 'static, V: 'static> TimeOrderedBufferBuilder<K, V> {
    /// A buffer of this name with these serdes.
    pub fn with_serdes(
        name: impl Into<String>,
        key_serde: Arc<dyn Serde<K>>,
        value_serde: Arc<dyn Serde<V>>,
    ) -> Self {
        Self {
            common: Common::new(name.into(), "compact"),
            key_serde,
            value_serde,
        }
    }

    common_settings!();
}

impl<K: 'static, V: 'static> StoreBuilder for TimeOrderedBufferBuilder<K, V> {
    type Store = TimeOrderedBuffer<K, V>;

    fn into_spec(self) -> StoreSpec {
        let Self {
            common,
            key_serde,
            value_serde,
        } = self;
        let said = said::<Self>(&(&common, &key_serde, &value_serde));
        let open = move |name: &str, open: OpenStore| {
            let topic = Arc::clone(&open.topic);
            let rows = Rc::new(RefCell::new(Rows::new(Arc::clone(&open.bytes))));
            let store = LiveBuffer {
                base: open.base(name),
                rows: Rc::clone(&rows),
            };
            let handle =
                TimeOrderedBuffer::new(topic, Arc::clone(&key_serde), Arc::clone(&value_serde), rows);
            OpenedStore {
                store: Box::new(store),
                handle: ErasedHandle::new(handle),
            }
        };
        common.into_spec(Layout::Plain, Arc::new(open), said)
    }
}
