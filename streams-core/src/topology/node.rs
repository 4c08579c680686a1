//! Typed handles of the nodes of a topology that is being built.

use std::marker::PhantomData;

use super::NodeId;

/// A node of the topology being built that gives out records of `K` and `V`. It is good for its own builder: given to another
/// one, it is an error of [that one's topology](super::TopologyBuilder::build).
pub struct Node<K, V> {
    id: NodeId,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for Node<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Node<K, V> {}

impl<K, V> Node<K, V> {
    pub(super) fn new(id: NodeId) -> Self {
        Self {
            id,
            types: PhantomData,
        }
    }

    /// The node's place in the topology.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }
}

impl<K, V> std::fmt::Debug for Node<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({:?})", self.id)
    }
}

/// Nodes of the same types as those who know no types take them.
pub(super) fn ids<K, V>(nodes: &[Node<K, V>]) -> Vec<NodeId> {
    let mut ids = Vec::with_capacity(nodes.len());
    for node in nodes {
        ids.push(node.id);
    }
    ids
}
