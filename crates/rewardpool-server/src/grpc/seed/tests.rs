//! Goal: a count becomes commands as the first service's clients expect. Method: examples around
//! the bounds.
use super::super::fake::FakeMailbox;
use super::*;

fn counts(count: i32) -> Vec<u16> {
    let mut dialect = SeedDialect::new(FakeMailbox::new(&["a"], 0), Caller::anybody(None));
    assert!(dialect.next().is_none());
    dialect.accept(seed::DrawRequest { count });
    std::iter::from_fn(|| dialect.next())
        .map(|ask| {
            assert_eq!(ask.command.unwrap().count.number(), ask.count);
            ask.count
        })
        .collect()
}

#[test]
fn a_count_is_split_into_commands() {
    for count in [i32::MIN, -5, 0, 1] {
        assert_eq!(counts(count), [1], "{count}");
    }
    assert_eq!(counts(9_999), [9_999]);
    assert_eq!(counts(10_000), [10_000]);
    assert_eq!(counts(10_001), [10_000, 1]);
    assert_eq!(counts(25_000), [10_000, 10_000, 5_000]);
    let all = counts(i32::MAX).into_iter().map(i64::from).sum::<i64>();
    assert_eq!(all, i64::from(i32::MAX));
}

#[test]
fn each_refused_draw_has_its_message() {
    let mut dialect = SeedDialect::new(FakeMailbox::new(&[], 0), Caller::anybody(None));
    dialect.accept(seed::DrawRequest { count: 3 });
    let ask = dialect.next().unwrap();
    let fault = ask.command.unwrap_err();
    for step in 0..3 {
        let (response, last) = dialect.refuse(&fault, ask.count, step);
        let response = response.decode().unwrap();
        assert_eq!((response.request_id, &*response.item_id), (0, ""));
        assert!(response.error.starts_with("pool: "), "{}", response.error);
        assert_eq!(last, step == 2);
    }
}
