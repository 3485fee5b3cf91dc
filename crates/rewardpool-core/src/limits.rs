//! Every maximum of the state machine, with its relations.

/// Bytes of a pool's or an item's name.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of an idempotency key.
pub const KEY_BYTES_MAX: usize = 64;
/// Bytes of the actor and of the reason that an administrator gives with a change.
pub const NOTE_BYTES_MAX: usize = 256;
/// Draws of one command.
pub const DRAW_COUNT_MAX: u16 = 10_000;
/// Items of one catalogue, retired ones included.
pub const ITEMS_MAX: usize = 16_000_000;
/// Pools of one log.
pub const POOLS_MAX: usize = 10_000;
/// Sum of the weights of a catalogue. Below 2^63, so that sums compare as signed numbers.
pub const TOTAL_WEIGHT_MAX: u64 = i64::MAX as u64;
/// Units of one item.
pub const QUANTITY_MAX: u64 = i64::MAX as u64;
/// The highest request id. Below 2^63, so that awards can be counted in 63 bits.
pub const REQUEST_ID_MAX: u64 = i64::MAX as u64;
/// A state digest is logged at each LSN that is a multiple of this.
pub const DIGEST_EVERY_LSN: u64 = 1 << 16;

const _: () = assert!(ITEMS_MAX < (1 << 24), "an outcome fits three bytes in the binary format");
const _: () = assert!(NAME_BYTES_MAX <= u8::MAX as usize);
const _: () = assert!(NOTE_BYTES_MAX <= u16::MAX as usize);
