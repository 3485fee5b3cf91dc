//! The checker against runs by hand and runs of the real engine.
