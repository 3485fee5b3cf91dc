//! The bare minimum that each figure is compared with: loops that do what must be done and nothing
//! else, measured in the same run and in turns with the product.
pub(crate) mod commit;
pub(crate) mod draws;
pub(crate) mod echo;
pub(crate) mod read;
