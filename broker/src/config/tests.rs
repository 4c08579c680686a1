//! Files and overrides as people write them, and what they are told when something is wrong.

use super::*;
use crate::handler::BrokerConfig;
use crate::log::LogConfig;

fn config(settings: &[&str]) -> Result<BrokerConfig, String> {
    let mut properties = Properties::default();
    for setting in settings {
        properties
            .set_argument(setting)
            .map_err(|error| error.to_string())?;
    }
    BrokerConfig::from_properties(properties).map_err(|error| error.to_string())
}

#[test]
fn tables_hold_valid_defaults_and_each_name_once() {
    let mut names = std::collections::BTreeSet::new();
    for key in broker_keys() {
        assert!(names.insert(key.name), "{} is there twice", key.name);
        assert_eq!(
            key.default.map_or(Ok(()), |value| key.check(value)),
            Ok(()),
            "{}",
            key.name
        );
        assert!(key.doc.ends_with('.') || key.doc.contains(':'), "{}", key.name);
    }
    for topic in TOPIC_KEYS {
        let default = topic.key.default.expect("every topic config has a default");
        assert_eq!(topic.key.check(default), Ok(()), "{}", topic.key.name);
        for (broker, _) in topic.defaults {
            assert!(names.contains(broker), "{broker}");
        }
        // The log knows it too.
        let overrides = [(topic.key.name.to_owned(), default.to_owned())].into();
        LogConfig::default().with_overrides(&overrides).unwrap();
    }
    for group in GROUP_KEYS {
        let (least, most) = group.limits;
        for name in [Some(group.default), least, most].into_iter().flatten() {
            assert!(names.contains(name), "{name}");
        }
    }
}

#[test]
fn the_quickstart_file_of_apache_kafka_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.properties");
    std::fs::write(
        &path,
        "# a comment\nprocess.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers=localhost:9093\n\
         listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
         advertised.listeners=PLAINTEXT://broker.example:19092,CONTROLLER://localhost:9093\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL\n\
         num.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\nsocket.receive.buffer.bytes=102400\n\
         socket.request.max.bytes=104857600\nlog.dirs=/data/kraft-combined-logs\nnum.partitions=2\n\
         num.recovery.threads.per.data.dir=1\noffsets.topic.replication.factor=1\n\
         share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n#log.flush.interval.ms=1000\n\
         log.retention.hours=168\nlog.segment.bytes=1073741824\nlog.retention.check.interval.ms=300000\n",
    )
    .unwrap();
    let config = BrokerConfig::from_properties(Properties::read(&path).unwrap()).unwrap();
    assert_eq!((config.node_id, config.default_partitions), (1, 2));
    assert_eq!((config.host.as_str(), config.port), ("broker.example", 19092));
    assert_eq!(config.network.listeners.len(), 1);
    assert_eq!(
        config.data_dir(),
        std::path::Path::new("/data/kraft-combined-logs")
    );
    assert_eq!(config.log, LogConfig::default());
}

#[test]
fn stronger_keys_win_whatever_their_order() {
    let retention = |settings: &[&str]| config(settings).unwrap().log.retention_ms;
    assert_eq!(retention(&["log.retention.ms=5", "log.retention.hours=1"]), 5);
    assert_eq!(
        retention(&["log.retention.minutes=1", "log.retention.hours=1"]),
        60_000
    );
    assert_eq!(retention(&["log.retention.hours=-1"]), -1);
    let log = config(&["log.flush.interval.ms=7", "log.flush.scheduler.interval.ms=9"])
        .unwrap()
        .log;
    assert_eq!(log.flush_ms, 7);
}

#[test]
fn mistakes_are_named_with_the_remedy() {
    let refused = |setting: &str, words: &str| {
        let error = config(&[setting]).unwrap_err();
        assert!(error.contains(words), "{setting}: {error}");
    };
    refused("log.retention.hour=1", "did you mean log.retention.hours?");
    refused("zzz=1", "unknown broker config zzz");
    refused("num.partitions=0", "expected a whole number from 1 to 2147483647");
    refused(
        "num.partitions=many",
        "invalid value \"many\" for broker config num.partitions",
    );
    refused("auto.create.topics.enable=yes", "expected true or false");
    refused("log.cleanup.policy=shrink", "expected a list of compact, delete");
    refused("listeners=localhost:9092", "NAME://host:port");
    refused("listeners=SSL://:9092", "TLS, which is not served");
    refused("listeners=EXTERNAL://:9092", "add EXTERNAL:PLAINTEXT");
    refused("listeners=PLAINTEXT://0.0.0.0:9092", "advertised.listeners");
    refused("listeners=SASL_PLAINTEXT://:9092", "set sasl.enabled.mechanisms");
    refused("advertised.listeners=INNER://a:1", "not among listeners");
    refused("log.dirs=/a,/b", "in one");
    refused("authorizer.class.name=my.Own", "cannot load");
    refused("super.users=admin", "User:admin;User:ops");
    refused("num.partitions", "write key=value");
}

#[test]
fn nobody_runs_without_a_plug_in_unawares() {
    for key in [
        "alter.config.policy.class.name",
        "client.quota.callback.class",
        "create.topic.policy.class.name",
        "principal.builder.class",
        "sasl.server.callback.handler.class",
        "security.providers",
    ] {
        let error = config(&[&format!("{key}=my.Own")]).unwrap_err();
        let words = format!("\"my.Own\" for broker config {key}: expected ");
        assert!(
            error.contains(&words) && error.contains("loads no plug-ins"),
            "{error}"
        );
        assert!(config(&[&format!("{key}=")]).is_ok());
        let default = broker_key(key).unwrap().default.unwrap_or_default();
        assert!(config(&[&format!("{key}={default}")]).is_ok());
    }
}

#[test]
fn users_of_plain_come_from_jaas_lines() {
    let config = config(&[
        "listeners=INNER://localhost:0",
        "listener.security.protocol.map=INNER:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256",
        "listener.name.inner.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
         username=\"admin\" password=\"x=y\" user_admin=\"x=y\" user_alice=\"a secret\";",
    ])
    .unwrap();
    assert_eq!(config.security.plain_password("INNER", "alice"), Some("a secret"));
    assert_eq!(config.security.plain_password("INNER", "admin"), Some("x=y"));
    assert_eq!(config.security.plain_password("OTHER", "admin"), None);
    assert!(
        !format!("{config:?}").contains("a secret"),
        "passwords are not for logs"
    );
}

#[test]
fn a_listener_has_mechanisms_and_limits_of_its_own() {
    let config = config(&[
        "listeners=INNER://localhost:0,OUTER://localhost:1",
        "listener.security.protocol.map=INNER:SASL_PLAINTEXT,OUTER:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms=PLAIN",
        "connections.max.reauth.ms=5",
        "listener.name.outer.sasl.enabled.mechanisms=SCRAM-SHA-512",
        "listener.name.outer.connections.max.reauth.ms=7",
        "listener.name.outer.max.connections=3",
        "listener.name.outer.max.connection.creation.rate=4",
    ])
    .unwrap();
    assert_eq!(config.security.mechanisms("INNER"), ["PLAIN"]);
    assert_eq!(config.security.mechanisms("OUTER"), ["SCRAM-SHA-512"]);
    let network = &config.network;
    assert_eq!(network.connections_max_reauth_ms_of("INNER"), 5);
    assert_eq!(network.connections_max_reauth_ms_of("OUTER"), 7);
    assert_eq!(network.max_connections_of("INNER"), i32::MAX as usize);
    assert_eq!(network.max_connections_of("OUTER"), 3);
    assert_eq!(network.max_connection_creation_rate_of("OUTER"), 4);
    // Those two can change while the broker runs.
    let mut dynamic = Properties::default();
    dynamic.set("listener.name.outer.max.connections", "9").unwrap();
    let network = config.with_dynamic(&dynamic).unwrap().network;
    assert_eq!(network.max_connections_of("OUTER"), 9);
    assert_eq!(network.max_connection_creation_rate_of("OUTER"), 4);
}

#[test]
fn what_a_listener_cannot_have_of_its_own_is_refused() {
    let own = |setting: &str| config(&["controller.listener.names=CONTROLLER", setting]);
    let refused = |setting: &str, words: &str| {
        let error = own(setting).unwrap_err();
        assert!(error.contains(words), "{setting}: {error}");
    };
    refused(
        "listener.name.plaintext.max.connections.per.ip=1",
        "no max.connections.per.ip for a single listener",
    );
    refused(
        "listener.name.plaintext.sasl.server.max.receive.size=9",
        "no sasl.server.max.receive.size for",
    );
    refused(
        "listener.name.plaintext.plain.connections.max.reauth.ms=1",
        "or mechanism: set connections.max.reauth.ms",
    );
    refused(
        "listener.name.plain.max.connections=1",
        "the listener plain, which is not among listeners",
    );
    assert!(own("listener.name.controller.ssl.keystore.location=/k").is_ok());
}

#[test]
fn dynamic_settings_lie_over_static_ones_but_not_over_read_only_ones() {
    let config = config(&["log.retention.hours=1", "num.partitions=2"]).unwrap();
    let mut dynamic = Properties::default();
    dynamic.set("log.retention.ms", "9").unwrap();
    dynamic.set("num.partitions", "8").unwrap();
    let live = config.with_dynamic(&dynamic).unwrap();
    assert_eq!((live.log.retention_ms, live.default_partitions), (9, 2));
}
