//! What the clients of the clouds' key services have in common: questions and the kinds of their answers, forms, metadata
//! services, RSA signatures.
//!
//! Owns what no vendor has for itself. It must never know a vendor, never use a proxy for a metadata service, and never
//! show a token.

mod form;
mod metadata;
mod question;
mod rs256;

pub(super) use form::{encoded, form};
pub(super) use metadata::Metadata;
pub(super) use question::{Known, Question, Refusal, json_object};
pub(super) use rs256::{RsaKey, jwt};
