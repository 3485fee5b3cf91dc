//! The `json` decoder: whatever it takes, it wrote, and the other formats say the same.
use rewardpool_core::format::Format;

use crate::payload::round_trip;

/// The first byte chooses position and names, the rest is a payload.
pub fn format_json(data: &[u8]) {
    round_trip(Format::Json, data);
}
