//! The typed Kafka Streams DSL of Headwater: KStream, KTable, windows, joins and aggregations.
