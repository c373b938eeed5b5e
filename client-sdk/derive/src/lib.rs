//! `#[derive(Record)]` and `#[derive(Field)]` of the crate `comptoir`, which documents them. Must not know the engine:
//! what it writes names `::comptoir` alone.

#![deny(clippy::unwrap_used, clippy::expect_used)]

mod attribute;
mod expand;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// A plain struct as a record of a collection: implements `comptoir::Record`, which see.
#[proc_macro_derive(Record, attributes(record))]
pub fn record(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::record(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// A plain struct as a field of a record: implements `comptoir::Field`, which see.
#[proc_macro_derive(Field)]
pub fn field(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::field(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}
