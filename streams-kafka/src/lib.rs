//! Headwater on Apache Kafka, through librdkafka.
