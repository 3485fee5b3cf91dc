//! Goal: what is outside its range is refused with the name of the field. Method: examples on both
//! sides of each bound.
use tonic::Code;

use super::super::fake::FakeMailbox;
use super::*;

fn field<T: std::fmt::Debug>(result: Result<T, Fault>) -> String {
    let fault = result.unwrap_err();
    assert_eq!((fault.code, fault.reason), (Code::InvalidArgument, "INVALID_ARGUMENT"));
    fault.field.unwrap().into_owned()
}

#[test]
fn an_empty_pool_name_means_the_only_pool_or_the_default_one() {
    let pool = |pools: &[&'static str], name| pool(&FakeMailbox::new(pools, 0), name);
    assert_eq!(pool(&["a"], ""), Ok(PoolNumber(0)));
    assert_eq!(pool(&["a", "default"], ""), Ok(PoolNumber(1)));
    assert_eq!(pool(&["a", "b"], "b"), Ok(PoolNumber(1)));
    assert_eq!(field(pool(&["a", "b"], "")), "pool");
    assert_eq!(field(pool(&[], "")), "pool");
    assert_eq!(field(pool(&["a"], "A")), "pool");
    assert_eq!(pool(&["a"], "b").unwrap_err().reason, "UNKNOWN_POOL");
}

#[test]
fn draws_are_checked() {
    let draw = |count, mode, key: &str| {
        let idempotency_key = key.to_owned();
        draw(PoolNumber(0), &v1::DrawRequest { pool: String::new(), count, mode, idempotency_key })
    };
    for count in [1, 10_000] {
        assert_eq!(i32::from(draw(count, 0, "").unwrap().count.number()), count);
    }
    for count in [0, -5, 10_001, i32::MIN, i32::MAX, 65_537] {
        assert_eq!(field(draw(count, 0, "")), "count", "{count}");
    }
    assert_eq!(draw(1, 1, "").unwrap().mode, DrawMode::BestEffort);
    assert_eq!(draw(1, 2, "").unwrap().mode, DrawMode::AllOrNothing);
    for mode in [3, -1] {
        assert_eq!(field(draw(1, mode, "")), "mode");
    }
    assert_eq!(draw(1, 0, "").unwrap().key, None);
    assert!(draw(1, 0, &"k".repeat(64)).unwrap().key.is_some());
    assert_eq!(field(draw(1, 0, &"k".repeat(65))), "idempotency_key");
}

#[test]
fn pages_follow_each_other() {
    let page = Page::new(0, "").unwrap();
    assert_eq!(page, Page { from: 0, limit: 1000 });
    assert_eq!(page.next_token(1000, 2500).unwrap(), "1000");
    let page = Page::new(5000, "1000").unwrap();
    assert_eq!(page, Page { from: 1000, limit: 5000 });
    assert_eq!(page.next_token(1500, 2500).unwrap(), "");
    for size in [-1, 5001] {
        assert_eq!(field(Page::new(size, "")), "page_size");
    }
    for token in ["0", "01", "-1", "+1", "x", "99999999999999999999999"] {
        assert_eq!(field(Page::new(1, token)), "page_token", "{token}");
    }
    assert_eq!(field(Page::new(1, "2501").unwrap().next_token(0, 2500)), "page_token");
}

fn new_pool(items: &[(&str, Option<u64>, Option<i64>)]) -> v1::CreatePoolRequest {
    let item = |&(id, weight, quantity): &(&str, _, _)| v1::CatalogItem {
        item_id: id.to_owned(),
        weight,
        quantity,
    };
    let catalog = items.iter().map(item).collect();
    v1::CreatePoolRequest { pool: "p".to_owned(), catalog, ..Default::default() }
}

#[test]
fn catalogues_are_checked() {
    let max = TOTAL_WEIGHT_MAX;
    let good = pool_spec(&new_pool(&[("a", Some(1), Some(-1)), ("b", Some(max - 1), Some(0))]));
    assert_eq!(good.unwrap().keys, KeyLimits::default());
    let bad: [(&[_], &str); 8] = [
        (&[], "catalog"),
        (&[("a", Some(1), Some(1)), ("a", Some(1), Some(1))], "catalog"),
        (&[("a", Some(max), Some(1)), ("b", Some(1), Some(1))], "catalog"),
        (&[("a", Some(max + 1), Some(1))], "catalog[0].weight"),
        (&[("a", None, Some(1))], "catalog[0].weight"),
        (&[("a", Some(1), None)], "catalog[0].quantity"),
        (&[("a", Some(1), Some(1)), ("b", Some(1), Some(-2))], "catalog[1].quantity"),
        (&[("", Some(1), Some(1))], "catalog[0].item_id"),
    ];
    for (items, expected) in bad {
        assert_eq!(field(pool_spec(&new_pool(items))), expected);
    }
    let selector = v1::CreatePoolRequest { selector: 9, ..new_pool(&[("a", Some(1), Some(1))]) };
    assert_eq!(field(pool_spec(&selector)), "selector");
}

#[test]
fn changes_of_items_are_checked() {
    let change = |quantity, weight| {
        item_change(&v1::UpdateItemRequest { quantity, weight, ..Default::default() })
    };
    let set =
        |quantity| Some(QuantityField::Set(v1::SetQuantity { quantity, expected_version: 7 }));
    assert_eq!(field(change(None, None)), "quantity");
    assert_eq!(field(change(None, Some(u64::MAX))), "weight");
    assert_eq!(field(change(set(None), None)), "set.quantity");
    assert_eq!(field(change(set(Some(-2)), None)), "set.quantity");
    let to = Quantity::Unlimited;
    let expected = ItemChange {
        quantity: Some(QuantityChange::Set { to, expected_version: 7 }),
        weight: Some(0),
    };
    assert_eq!(change(set(Some(-1)), Some(0)), Ok(expected));
    let added = change(Some(QuantityField::Add(i64::MIN)), None).unwrap();
    assert_eq!(added.quantity, Some(QuantityChange::Add(i64::MIN)));
}

#[test]
fn notes_name_the_text_that_is_wrong() {
    assert!(note("", "").is_ok());
    assert_eq!(field(note("a\n", "")), "actor");
    assert_eq!(field(note("", &"x".repeat(257))), "reason");
}

#[test]
fn timeouts_are_read_as_grpc_writes_them() {
    assert_eq!(timeout("2H"), Some(Duration::from_hours(2)));
    assert_eq!(timeout("99999999M"), Some(Duration::from_mins(99_999_999)));
    assert_eq!(timeout("7S"), Some(Duration::from_secs(7)));
    assert_eq!(timeout("20m"), Some(Duration::from_millis(20)));
    assert_eq!(timeout("20u"), Some(Duration::from_micros(20)));
    assert_eq!(timeout("20n"), Some(Duration::from_nanos(20)));
    for bad in ["", "m", "5", "123456789m", "-1m", "1x", "1ü"] {
        assert_eq!(timeout(bad), None, "{bad}");
    }
}
