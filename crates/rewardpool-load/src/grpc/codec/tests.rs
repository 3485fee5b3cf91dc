//! Goal: what is made and read by hand is what the generated code makes and reads.
use proptest::prelude::*;

use super::*;

fn stream(answer: v1::draw_stream_response::Answer) -> Vec<u8> {
    v1::DrawStreamResponse { answer: Some(answer) }.encode_to_vec()
}

#[test]
fn requests_are_those_of_the_generated_code() {
    for count in [1_u16, 127, 128, 10_000] {
        for pool in ["", "summer"] {
            let codec = LoadCodec::new(Method::Stream, pool, count, "run-7-");
            for serial in [None, Some(0), Some(0xdead_beef), Some(u64::MAX)] {
                let mut bytes = Vec::new();
                codec.put(serial, &mut bytes);
                let request = v1::DrawRequest::decode(&*bytes).unwrap();
                let key = serial.map_or_else(String::new, |serial| format!("run-7-{serial:016x}"));
                let expected = v1::DrawRequest {
                    pool: pool.to_owned(),
                    count: count.into(),
                    mode: 0,
                    idempotency_key: key,
                };
                assert_eq!(request, expected);
                assert_eq!(bytes, expected.encode_to_vec());
            }
        }
        let codec = LoadCodec::new(Method::Seed, "", count, "");
        let mut bytes = Vec::new();
        codec.put(None, &mut bytes);
        assert_eq!(bytes, seed::DrawRequest { count: count.into() }.encode_to_vec());
    }
}

proptest! {
    #[test]
    fn draws_and_empty_ones_are_counted(
        first_request_id in 1_u64..,
        outcomes in prop::collection::vec(prop_oneof![Just(0_u32), 1..200_u32, any::<u32>()], 0..300),
        item_ids in prop::collection::vec("[a-z]{0,64}", 0..5),
        replayed: bool,
    ) {
        let draw = v1::DrawResponse { first_request_id, item_ids, outcomes, replayed };
        let expected = Told {
            draws: u32::try_from(draw.outcomes.len()).unwrap(),
            empties: u32::try_from(draw.outcomes.iter().filter(|&&n| n == 0).count()).unwrap(),
            refusal: None,
        };
        prop_assert_eq!(read(Method::Unary, &draw.encode_to_vec()), Some(expected.clone()));
        let bytes = stream(v1::draw_stream_response::Answer::Draw(draw));
        prop_assert_eq!(read(Method::Stream, &bytes), Some(expected));
    }

    #[test]
    fn refusals_keep_their_reason(code: i32, reason in "[A-Z_]{0,20}", message in ".{0,40}") {
        let refusal = v1::DrawRefusal { code, reason: reason.clone(), message };
        let bytes = stream(v1::draw_stream_response::Answer::Refusal(refusal));
        let told = read(Method::Stream, &bytes).unwrap();
        prop_assert_eq!(told, Told { refusal: Some(reason.into()), ..Told::default() });
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        for method in [Method::Unary, Method::Stream, Method::Seed] {
            let told = read(method, &bytes);
            let draws = told.map_or(0, |told| told.draws);
            prop_assert!(draws as usize <= bytes.len() + 1);
        }
    }
}

#[test]
fn answers_of_the_older_interface_are_single_draws() {
    let told = |request_id, item_id: &str, error: &str| {
        let response =
            seed::DrawResponse { request_id, item_id: item_id.into(), error: error.into() };
        read(Method::Seed, &response.encode_to_vec()).unwrap()
    };
    assert_eq!(told(9, "gold", ""), Told { draws: 1, ..Told::default() });
    let empty = Told { draws: 1, empties: 1, refusal: None };
    assert_eq!(told(9, "", "reward pool is empty"), empty);
    let refused = Told { refusal: Some("paused".into()), ..Told::default() };
    assert_eq!(told(0, "", "paused"), refused);
}
