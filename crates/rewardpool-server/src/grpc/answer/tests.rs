//! Goal: the bytes are those of the message, whatever was drawn. Method: the generated code decodes
//! them, and encodes a plain model of the answer.
use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use prost::Message as _;
use rewardpool_core::name::{ItemId, PoolId};
use rewardpool_core::names::Names;
use rewardpool_proto::v1::draw_stream_response::Answer;

use super::*;

fn names(count: u32) -> ItemNames {
    let mut names = Names::default();
    let pool = names.push(PoolId::new("pool").unwrap());
    let pool = names.pool_mut(pool).unwrap();
    for index in 0..count {
        pool.push(ItemId::new(&name(index)).unwrap());
    }
    pool.items().clone()
}

/// Names of several lengths.
fn name(index: u32) -> String {
    format!("item {index}{}", "!".repeat((index % 40) as usize))
}

fn outcome(item: Option<u32>) -> Outcome {
    item.map_or(Outcome::EMPTY, |item| Outcome::award(ItemIndex::new(item).unwrap()))
}

/// The answer in the order of the contract, without tables.
fn model(first_request_id: u64, drawn: &[Option<u32>], replayed: bool) -> v1::DrawResponse {
    let mut items: Vec<u32> = Vec::new();
    let outcomes = drawn.iter().map(|drawn| {
        let Some(item) = *drawn else { return 0 };
        let known = items.iter().position(|&known| known == item);
        let index = known.unwrap_or_else(|| {
            items.push(item);
            items.len() - 1
        });
        u32::try_from(index + 1).unwrap()
    });
    let outcomes = outcomes.collect();
    let item_ids = items.into_iter().map(name).collect();
    v1::DrawResponse { first_request_id, item_ids, outcomes, replayed }
}

#[test]
fn each_item_is_named_once_in_the_order_of_its_first_draw() {
    let names = names(3);
    let outcomes = [Some(2), None, Some(0), Some(2)].map(outcome);
    let answered =
        Answered { first_request_id: 7, outcomes: &outcomes, names: &names, replayed: false };
    let bytes = AnswerWriter::default().draw_response(&answered);
    let answer = v1::DrawResponse::decode(bytes).unwrap();
    assert_eq!(answer.item_ids, [name(2), name(0)]);
    assert_eq!(answer.outcomes, [1, 0, 2, 1]);
    assert_eq!((answer.first_request_id, answer.replayed), (7, false));
}

/// The table is not cleared for each answer, so an entry must not be taken for one of an answer with
/// the same number four thousand million answers ago.
#[test]
fn an_entry_of_long_ago_is_forgotten() {
    let mut dictionary = Dictionary::default();
    dictionary.look_up(&[outcome(Some(1))], 2);
    dictionary.answer = u32::MAX;
    dictionary.look_up(&[outcome(Some(1)), outcome(Some(0))], 2);
    assert_eq!((dictionary.places, dictionary.items.len()), (vec![1, 2], 2));
}

/// Items of catalogues.
const SIZES: [u32; 5] = [5, 127, 128, 1000, 140_000];

/// Their names, made once, because that takes longer than all answers.
static CATALOGS: LazyLock<BTreeMap<u32, ItemNames>> =
    LazyLock::new(|| SIZES.into_iter().map(|count| (count, names(count))).collect());

proptest! {
    /// Answers of one writer after another, from catalogues with a table and without one.
    #[test]
    fn the_bytes_are_those_of_the_message(
        answers in prop::collection::vec(
            prop::sample::select(&SIZES[..]).prop_flat_map(
                |catalog| (
                    Just(catalog),
                    prop::collection::vec(prop::option::weighted(0.9, 0..catalog), 0..400),
                    1..u64::MAX,
                    any::<bool>(),
                ),
            ),
            1..4,
        ),
    ) {
        let mut writer = AnswerWriter::default();
        for (catalog, drawn, first_request_id, replayed) in answers {
            let names = &CATALOGS[&catalog];
            let outcomes: Vec<Outcome> = drawn.iter().copied().map(outcome).collect();
            let answered = Answered { first_request_id, outcomes: &outcomes, names, replayed };
            let model = model(first_request_id, &drawn, replayed);
            prop_assert_eq!(&writer.draw_response(&answered)[..], &model.encode_to_vec()[..]);
            let streamed = v1::DrawStreamResponse { answer: Some(Answer::Draw(model)) };
            prop_assert_eq!(&writer.stream_response(&answered)[..], &streamed.encode_to_vec()[..]);
            if first_request_id < u64::MAX / 2 {
                for (place, item) in drawn.iter().enumerate() {
                    let model = seed::DrawResponse {
                        request_id: first_request_id + place as u64,
                        item_id: item.map(name).unwrap_or_default(),
                        error: if item.is_some() { String::new() } else { EMPTY.to_owned() },
                    };
                    let bytes = writer.seed_response(&answered, place);
                    prop_assert_eq!(&bytes[..], &model.encode_to_vec()[..]);
                }
            }
        }
    }
}
