//! Records, serdes, topologies, tasks and the runtime of Headwater.
