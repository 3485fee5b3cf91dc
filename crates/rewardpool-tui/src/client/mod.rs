//! The service, asked over gRPC.

/// Items of a page.
pub const ITEMS_OF_PAGE: u64 = 500;
