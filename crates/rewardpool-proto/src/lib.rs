//! The gRPC interface: messages, clients and servers, generated from the files in `proto/`.
//!
//! `cargo xtask proto-gen` writes `src/gen/`; a test of `xtask` fails when it is not current.
//!
//! An answer names each item once and gives one small number for each draw:
//!
//! ```
//! use rewardpool_proto::v1::DrawResponse;
//!
//! let answer = DrawResponse {
//!     first_request_id: 41,
//!     item_ids: vec!["gold".into(), "rock".into()],
//!     outcomes: vec![2, 0, 1],
//!     replayed: false,
//! };
//! let names: Vec<Option<&str>> = answer
//!     .outcomes
//!     .iter()
//!     .map(|&outcome| (outcome as usize).checked_sub(1).map(|index| &*answer.item_ids[index]))
//!     .collect();
//! assert_eq!(names, [Some("rock"), None, Some("gold")]);
//! ```

pub mod encoded;

/// The interface for new clients: package `rewardpool.v1`.
#[expect(
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    reason = "generated"
)]
pub mod v1 {
    include!("gen/rewardpool.v1.rs");
}

/// The interface that clients of the first reward pool service know: package `rewardpool`.
#[expect(
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    reason = "generated"
)]
pub mod seed {
    include!("gen/rewardpool.rs");
}

/// The encoded `FileDescriptorSet` of both packages, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/descriptor.bin");

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    /// The seed's clients read the quantity as int32: the bytes must be those of an int32 for every
    /// value that fits.
    #[test]
    fn a_wider_quantity_has_the_bytes_of_the_narrow_one() {
        #[derive(Clone, PartialEq, prost::Message)]
        struct Narrow {
            #[prost(string, tag = "1")]
            item_id: String,
            #[prost(int32, tag = "2")]
            quantity: i32,
            #[prost(int64, tag = "3")]
            probability: i64,
        }
        for quantity in [-1, 0, 1, 127, 128, i32::MAX] {
            let narrow = Narrow { item_id: "gold".into(), quantity, probability: 20 };
            let wide = seed::RewardItem {
                item_id: "gold".into(),
                quantity: quantity.into(),
                probability: 20,
            };
            assert_eq!(narrow.encode_to_vec(), wide.encode_to_vec());
        }
    }

    /// A draw inside a multi-draw costs one byte of the answer in a catalogue of up to 127 items.
    #[test]
    fn outcomes_are_packed() {
        let small = v1::DrawResponse { outcomes: vec![1; 100], ..Default::default() };
        let large = v1::DrawResponse { outcomes: vec![1; 10_000], ..Default::default() };
        assert_eq!(small.encoded_len(), 102);
        assert_eq!(large.encoded_len(), 10_003);
    }

    #[test]
    fn the_descriptors_hold_both_services() {
        for name in ["RewardPoolService", "PoolAdmin", "DrawStream"] {
            let found = FILE_DESCRIPTOR_SET.windows(name.len()).any(|part| part == name.as_bytes());
            assert!(found, "{name}");
        }
    }
}
