//! Tests of the terminal that need no terminal: events go in, screens come out.
mod behaviour;
mod random;
mod scene;
mod screens;
