//! In memory log.
