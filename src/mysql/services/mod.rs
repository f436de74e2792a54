//! The keyring services and the one for our companion, one table per file, in the notation of `include/keyring_ward_abi.h`.

pub mod aes;
pub mod component_status;
pub mod control;
pub mod generator;
pub mod keys_iterator;
pub mod load;
pub mod metadata_query;
pub mod reader;
pub mod writer;
