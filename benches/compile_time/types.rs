//! The types of a shop, which its operators work on.

use serde::{Deserialize, Serialize};
use streams_dsl::prelude::*;

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) customer: i64,
    pub(crate) items: Vec<String>,
    pub(crate) cents: i64,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Customer {
    pub(crate) name: String,
    pub(crate) city: String,
    pub(crate) referred_by: Option<i64>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) order: Order,
    pub(crate) name: String,
    pub(crate) city: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Basket {
    pub(crate) items: Vec<String>,
    pub(crate) cents: i64,
}

json_serde!(Order, Customer, Delivery, Basket);
