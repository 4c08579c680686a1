//! Twenty-five operators of a shop, sources, sinks and `to_stream` not counted. The bench compiles several copies of this
//! file in one crate, each with its own closures; its test runs it on the test driver.

use std::time::Duration;

use streams_dsl::prelude::*;
use streams_dsl::processor::{BoxError, Processor, ProcessorContext};
use streams_dsl::store::{KeyValueStore, KeyValueStoreBuilder};

use super::types::{Basket, Customer, Delivery, Order};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Declares the operators of one shop, whose topics and stores begin with its name.
pub(crate) fn declare(builder: &StreamsBuilder, shop: &str) {
    let name = |part: &str| format!("{shop}-{part}");
    let orders = builder.stream::<i64, Order>(name("orders").as_str());
    let payments = builder.stream::<i64, i64>(name("payments").as_str());
    let customers =
        builder.table::<i64, Customer>(&name("customers"), Materialized::named(name("customers")));
    let postcodes =
        builder.global_table::<String, i64>(&name("postcodes"), Materialized::named(name("postcodes")));

    // Stateless operators, and joins with tables: 9.
    let valid = orders
        .filter(|_, order| order.cents > 0)
        .map_values(|order| Order {
            cents: order.cents + 499,
            ..order
        });
    let deliveries = valid
        .select_key(|_, order| order.customer)
        .join(&customers, |order, customer| Delivery {
            order: order.clone(),
            name: customer.name.clone(),
            city: customer.city.clone(),
        })
        .join_global(
            &postcodes,
            |_, delivery| delivery.city.clone(),
            |delivery, postcode| Delivery {
                city: format!("{postcode} {}", delivery.city),
                ..delivery
            },
        );
    let mut sizes = deliveries.split();
    let large = sizes.branch(|_, delivery| delivery.order.items.len() > 10);
    let small = sizes.default_branch();
    let parcels = large
        .flat_map_values(|delivery| {
            let parcel = |items: &[String]| Delivery {
                order: Order {
                    items: items.to_vec(),
                    ..delivery.order.clone()
                },
                ..delivery.clone()
            };
            delivery.order.items.chunks(10).map(parcel).collect::<Vec<_>>()
        })
        .merge(&small);
    parcels
        .map_values_with_key(|customer, delivery| format!("{customer}: {}, {}", delivery.name, delivery.city))
        .to(&name("labels"));

    // Groups, windows and a user's processor: 8.
    let by_city = parcels.group_by(|_, delivery| delivery.city.clone());
    by_city
        .windowed_by(TimeWindows::of_size_with_no_grace(HOUR))
        .count(Materialized::named(name("parcels-per-hour")))
        .suppress(Suppressed::until_window_closes(BufferConfig::unbounded()))
        .to_stream()
        .map(|city, count| (city.key, format!("{}: {count:?}", city.window.start_ms)))
        .to(&name("parcels-per-hour"));
    valid
        .group_by_key()
        .windowed_by(SessionWindows::of_inactivity_gap_with_no_grace(MINUTE))
        .aggregate(
            || 0_i64,
            |_, order, cents| cents + order.cents,
            |_, one, other| one + other,
            Materialized::named(name("sessions")),
        )
        .to_stream()
        .to(&name("sessions"));
    let joined = valid.left_join_stream(
        &payments,
        |order, paid| order.cents - paid.unwrap_or(&0),
        JoinWindows::of_time_difference_with_no_grace(MINUTE),
    );
    let store = name("open");
    builder.add_state_store(&store, KeyValueStoreBuilder::<i64, i64>::new(&store));
    let open = store.clone();
    joined
        .process(store.as_str(), move |init| Ok(Open(init.key_value_store(&open)?)))
        .to(&name("open"));
    payments
        .group_by_key()
        .windowed_by(SlidingWindows::of_time_difference_with_no_grace(MINUTE))
        .reduce(|one, other| one + other, Materialized::named(name("paid")))
        .to_stream()
        .to(&name("paid"));

    // Tables: 8.
    let baskets = valid.group_by(|_, order| order.customer).aggregate(
        || Basket {
            items: Vec::new(),
            cents: 0,
        },
        |_, order, basket| Basket {
            items: [basket.items, order.items].concat(),
            cents: basket.cents + order.cents,
        },
        Materialized::named(name("baskets")),
    );
    let good = baskets
        .filter(|_, basket| basket.cents > 10_000)
        .map_values(|basket| basket.cents);
    customers
        .left_join(&good, |customer, cents| format!("{}: {cents:?}", customer.name))
        .to_stream()
        .to(&name("ratings"));
    customers
        .join_foreign_key(
            &customers,
            |_, customer| customer.referred_by,
            |customer, by| format!("{} by {}", customer.name, by.name),
        )
        .to_stream()
        .to(&name("referrals"));
    customers
        .group_by(|number, customer| (customer.city.clone(), *number))
        .count(Materialized::named(name("customers-of")))
        .to_stream()
        .to(&name("customers-of"));
}

/// Keeps what is still to be paid for an order.
struct Open(KeyValueStore<i64, i64>);

impl Processor<i64, i64, i64, i64> for Open {
    fn process(
        &mut self,
        record: Record<i64, i64>,
        context: &mut ProcessorContext<'_, '_, i64, i64>,
    ) -> Result<(), BoxError> {
        self.0.put(&record.key, Some(record.value), record.timestamp_ms)?;
        context.forward(record)
    }
}
