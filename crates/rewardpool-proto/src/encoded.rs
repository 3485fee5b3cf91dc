//! Servers that send answers which are encoded already.
//!
//! A draw's answer is the most frequent message by far. To build it as a message first, with a text
//! for each item, takes longer than the draw itself; so the server writes its bytes at once, and
//! many answers share one buffer. On the wire it is the same message, as tests show.
use std::fmt;
use std::marker::PhantomData;

use prost::Message;
use prost::bytes::{BufMut as _, Bytes};
use tonic::Status;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic_prost::ProstDecoder;

/// The servers of `rewardpool.v1`.
#[expect(
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    reason = "generated"
)]
pub mod v1 {
    include!("gen/encoded/rewardpool.v1.rs");
}

/// The server of `rewardpool`.
#[expect(
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    reason = "generated"
)]
pub mod seed {
    include!("gen/encoded/rewardpool.rs");
}

/// The bytes of a message. A clone shares them.
pub struct Encoded<M> {
    bytes: Bytes,
    message: PhantomData<fn() -> M>,
}

impl<M: Message + Default> Encoded<M> {
    /// The message with these bytes, which must be those of one.
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes, message: PhantomData }
    }

    /// Encodes a message.
    pub fn of(message: &M) -> Self {
        Self::new(message.encode_to_vec().into())
    }

    /// Decodes the message.
    pub fn decode(&self) -> Result<M, prost::DecodeError> {
        M::decode(self.bytes.clone())
    }
}

impl<M> Clone for Encoded<M> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), message: PhantomData }
    }
}

impl<M> fmt::Debug for Encoded<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Encoded").field(&self.bytes).finish()
    }
}

/// What [`EncodedCodec`] sends: messages, and the bytes of messages.
pub trait Put {
    /// Appends the bytes.
    fn put(&self, to: &mut EncodeBuf<'_>);
}

impl<M: Message> Put for M {
    fn put(&self, to: &mut EncodeBuf<'_>) {
        self.encode(to).expect("the buffer grows");
    }
}

impl<M> Put for Encoded<M> {
    fn put(&self, to: &mut EncodeBuf<'_>) {
        to.put_slice(&self.bytes);
    }
}

/// Protobuf messages, some of which are encoded already.
#[derive(Debug)]
pub struct EncodedCodec<T, U>(PhantomData<fn() -> (T, U)>);

impl<T, U> Default for EncodedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for EncodedCodec<T, U>
where
    T: Put + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = Self;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> ProstDecoder<U> {
        ProstDecoder::default()
    }
}

impl<T: Put, U> Encoder for EncodedCodec<T, U> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.put(to);
        Ok(())
    }
}
