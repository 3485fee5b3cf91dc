//! The terminal for operators.
pub mod app;
pub mod catalogue;
pub mod client;
pub mod command;
pub mod editor;
pub mod effect;
pub mod event;
pub mod forecast;
pub mod layout;
pub mod look;
pub mod model;
pub mod moment;
pub mod numbers;
pub mod recall;
pub mod view;
