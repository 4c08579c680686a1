//! Scripts of requests against the group coordinator, one per rule, with every append and reply in between.

mod classic;
mod consumer;
mod consumer_log;
mod migration;
mod mixed_simulation;
mod offsets;
mod script;
mod simulation;
mod streams;
mod upgrade;
