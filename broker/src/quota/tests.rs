//! Which limit holds for whom, and how long who is over it is quiet.

use super::*;

const WINDOW: QuotaWindow = QuotaWindow {
    samples: 11,
    sample_ms: 1000,
};

fn quota(entity: &[(&str, Option<&str>)], limit: f64) -> ClientQuota {
    ClientQuota {
        entity: entity
            .iter()
            .map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned)))
            .collect(),
        limits: [("producer_byte_rate".to_owned(), limit)].into(),
    }
}

#[test]
fn the_most_specific_of_eight_levels_holds() {
    // From the strongest to the weakest, as Kafka's documentation has them.
    let levels = [
        quota(&[(USER, Some("a")), (CLIENT_ID, Some("c"))], 1.0),
        quota(&[(USER, Some("a")), (CLIENT_ID, None)], 2.0),
        quota(&[(USER, Some("a"))], 3.0),
        quota(&[(USER, None), (CLIENT_ID, Some("c"))], 4.0),
        quota(&[(USER, None), (CLIENT_ID, None)], 5.0),
        quota(&[(USER, None)], 6.0),
        quota(&[(CLIENT_ID, Some("c"))], 7.0),
        quota(&[(CLIENT_ID, None)], 8.0),
    ];
    for strongest in 0..levels.len() {
        let (_, limit) = QuotaLimits::new(&levels[strongest..])
            .limit_of(Rate::Produce, "a", "c")
            .unwrap();
        assert_eq!(limit, strongest as f64 + 1.0);
    }
    let all = QuotaLimits::new(&levels);
    assert_eq!(all.limit_of(Rate::Produce, "b", "d").unwrap().1, 5.0);
    assert_eq!(all.limit_of(Rate::Fetch, "a", "c"), None);
    assert_eq!(
        QuotaLimits::new(&levels[6..7]).limit_of(Rate::Produce, "a", "d"),
        None
    );
}

#[test]
fn who_is_over_the_limit_is_quiet_until_the_rate_is_down() {
    let quotas = QuotaLimits::new(&[quota(&[(USER, Some("a"))], 1000.0)]);
    let mut used = Quotas::new(WINDOW, WINDOW);
    let mut record =
        |bytes: i32, now_ms| used.record(&quotas, Rate::Produce, ("a", "c"), f64::from(bytes), now_ms);
    assert_eq!(
        record(10_000, 0),
        0,
        "ten seconds' worth, measured over ten seconds"
    );
    assert_eq!(record(5_000, 1), 5_000, "half as much again: half of ten seconds");
    assert_eq!(
        record(0, 5_001),
        5_000,
        "the window is what is measured, not what was waited"
    );
    assert_eq!(record(0, 20_000), 0, "all of it is forgotten");
}

#[test]
fn clients_of_one_user_share_its_limit_and_others_have_their_own() {
    let quotas = QuotaLimits::new(&[quota(&[(USER, None)], 1000.0)]);
    let mut used = Quotas::new(WINDOW, WINDOW);
    let mut record = |user, client| used.record(&quotas, Rate::Produce, (user, client), 8_000.0, 0);
    assert_eq!(record("a", "c"), 0);
    assert!(record("a", "d") > 0);
    assert_eq!(record("b", "c"), 0);
}

fn limited(entity: &[(&str, Option<&str>)], key: &str, limit: f64) -> QuotaLimits {
    let mut quota = quota(entity, limit);
    quota.limits = [(key.to_owned(), limit)].into();
    QuotaLimits::new(&[quota])
}

#[test]
fn changes_may_come_in_bursts_and_are_refused_until_the_debt_is_paid() {
    let quotas = limited(&[(USER, Some("a"))], "controller_mutation_rate", 2.0);
    let mut used = Quotas::new(WINDOW, WINDOW);
    let mut change =
        |partitions, is_strict, now_ms| used.change(&quotas, ("a", "c"), partitions, is_strict, now_ms);
    assert_eq!(change(30, true, 0), 0, "8 more than the 22 there are");
    assert_eq!(change(1, true, 0), 4_000, "refused: it takes nothing");
    assert_eq!(change(1, true, 1_000), 3_000);
    assert_eq!(change(1, true, 4_000), 0, "nothing is owed, one is taken");
    assert_eq!(change(3, false, 4_000), 2_000, "not refused, but told");
    assert_eq!(change(1, true, 1_000_000), 0);
    assert_eq!(
        change(21, true, 1_000_000),
        0,
        "no more than a window is saved up"
    );
    assert_eq!(change(1, true, 1_000_000), 0);
    assert_eq!(change(1, true, 1_000_000), 500);
}

#[test]
fn time_that_is_used_too_much_is_made_up_in_short_silences() {
    let quotas = limited(&[(CLIENT_ID, None)], "request_percentage", 10.0);
    let mut used = Quotas::new(WINDOW, WINDOW);
    let mut record = |percent, now_ms| used.record(&quotas, Rate::Request, ("a", "c"), percent, now_ms);
    assert_eq!(record(100.0, 0), 0, "a second of ten, at a tenth");
    assert_eq!(record(1.0, 1), 100);
    assert_eq!(record(100.0, 2), 1_000);
}

#[test]
fn nobody_is_given_more_at_once_than_a_window_allows() {
    let quotas = limited(&[(USER, Some("a"))], "consumer_byte_rate", 1000.0);
    let used = Quotas::new(WINDOW, WINDOW);
    assert_eq!(used.most(&quotas, Rate::Fetch, ("a", "c")), Some(10_000.0));
    assert_eq!(used.most(&quotas, Rate::Fetch, ("b", "c")), None);
}

#[test]
fn addresses_have_limits_of_their_own() {
    let address: IpAddr = "10.0.0.1".parse().unwrap();
    let own = limited(&[(IP, Some("10.0.0.1"))], "connection_creation_rate", 5.0);
    assert_eq!(own.connection_rate(address), Some(5.0));
    assert_eq!(own.connection_rate("10.0.0.2".parse().unwrap()), None);
    let of_all = limited(&[(IP, None)], "connection_creation_rate", 5.0);
    assert_eq!(of_all.connection_rate(address), Some(5.0));
    assert!(of_all.is_empty() && !of_all.has(Rate::Request));
}

#[test]
fn limits_must_be_ones_there_are() {
    let user: QuotaEntity = [(USER.to_owned(), None)].into();
    let address: QuotaEntity = [(IP.to_owned(), None)].into();
    assert_eq!(check_limit(&user, "producer_byte_rate", 5.0), Ok(()));
    assert_eq!(check_limit(&user, "request_percentage", 0.5), Ok(()));
    assert_eq!(check_limit(&address, "connection_creation_rate", 5.0), Ok(()));
    for (entity, key, value) in [
        (&user, "connection_creation_rate", 5.0),
        (&address, "producer_byte_rate", 5.0),
        (&user, "producer_byte_rate", 0.5),
        (&user, "producer_byte_rate", 0.0),
        (&user, "producer_byte_rate", -1.0),
        (&user, "producer_byte_rate", f64::NAN),
        (&user, "bytes", 1.0),
    ] {
        assert!(check_limit(entity, key, value).is_err(), "{key} {value}");
    }
}
