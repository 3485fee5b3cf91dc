//! The answer of a call on its way out, in pieces that tell how far each one got.
//!
//! HTTP/2 keeps a piece until the client has opened its window for it. Only the piece itself knows
//! when its bytes leave, so it counts them.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use hyper::body::{Buf, Bytes};

use super::stream::current_outbox;
use super::traffic::Outbox;

/// The body of an answer.
pub(super) struct Leaving<B> {
    body: B,
}

impl<B> Leaving<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Leaving<B> {
    type Data = Piece;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, B::Error>>> {
        let polled = Pin::new(&mut self.get_mut().body).poll_frame(context);
        polled.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(Piece::new))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A part of an answer.
pub(super) struct Piece {
    bytes: Bytes,
    outbox: Arc<Outbox>,
}

impl Piece {
    fn new(bytes: Bytes) -> Self {
        let outbox = current_outbox();
        outbox.add_piece();
        Self { bytes, outbox }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
        self.outbox.count_sent(bytes);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.outbox.end_piece();
    }
}
