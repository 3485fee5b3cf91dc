//! How a program reaches a running service: the address, encryption, and who it says it is. The
//! command line, the terminal interface and the load generators connect through here.
mod access;
mod token;

pub use access::{Access, AccessError, Authorized, Bearer, Identity};
pub use token::{Token, TokenError};
