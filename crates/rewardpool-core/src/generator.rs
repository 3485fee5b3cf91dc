//! Stub: a pure function of (secret, request id).
use crate::ids::RequestId;

/// The secret of a pool.
#[derive(Debug)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes the bytes as they are.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Random numbers by request id.
#[derive(Debug)]
pub struct Generator(u64);

impl Generator {
    /// The generator of this secret.
    pub fn new(secret: &Secret) -> Self {
        Self(secret.0.iter().fold(7, |hash: u64, &byte| hash.wrapping_mul(31) + u64::from(byte)))
    }

    /// A number below `total`.
    pub fn below(&mut self, id: RequestId, total: u64) -> u64 {
        let mut x = self.0.wrapping_add(id.number().wrapping_mul(0x9E37_79B9_7F4A_7C15));
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^= x >> 31;
        u64::try_from((u128::from(x) * u128::from(total)) >> 64).expect("below total")
    }
}
