//! The code that is written for a struct. Must not read attributes.

use crate::attribute::{Part, parts, whole};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{DeriveInput, Error, Lit, Result};

pub(crate) fn record(input: &DeriveInput) -> Result<TokenStream> {
    let all = parts(input)?;
    let whole = whole(input, &all)?;
    let (mut keys, fields): (Vec<Part<'_>>, Vec<Part<'_>>) = all.into_iter().partition(|part| part.key);
    let key = keys.pop().ok_or_else(|| Error::new(input.ident.span(), "mark its key: #[record(key)] id: String"))?;
    if let Some(other) = keys.pop() {
        return Err(Error::new(other.ident.span(), "a record has one key"));
    }
    let (ident, key, collection) = (&input.ident, key.ident, &whole.collection);
    let (names, counters) = (names(&fields, |_| true), names(&fields, is_counter));
    let (checks, writes, reads) = (checks(&fields), writes(&fields), reads(&fields));
    let schema = fields.iter().map(schema_field);
    let indexes = whole.indexes.iter().map(|(name, fields)| quote!((#name, #fields)));
    Ok(quote! {
        #checks

        #[automatically_derived]
        impl ::comptoir::Record for #ident {
            const COLLECTION: &'static str = #collection;
            const NAMES: &'static [&'static str] = &[#names];
            const COUNTERS: &'static [&'static str] = &[#counters];

            fn key(&self) -> &str {
                let key: &::std::string::String = &self.#key;
                key
            }

            fn fields_over(&self, seen: &::comptoir::Fields) -> ::comptoir::Fields {
                let mut fields = ::comptoir::Fields::new();
                #writes
                fields
            }

            fn from_view(
                key: &str,
                view: &::comptoir::View,
            ) -> ::std::result::Result<Self, ::comptoir::RecordError> {
                let fields = &view.fields;
                ::std::result::Result::Ok(Self { #key: ::std::borrow::ToOwned::to_owned(key), #reads })
            }

            fn schema() -> ::comptoir::Schema {
                ::comptoir::record::derived::schema([#(#schema),*], &[#(#indexes),*])
            }
        }
    })
}

pub(crate) fn field(input: &DeriveInput) -> Result<TokenStream> {
    let fields = parts(input)?;
    if let Some(odd) = fields.iter().find(|part| part.key || part.rule.is_some() || part.default.is_some()) {
        return Err(Error::new(odd.ident.span(), "only a record has a key, rules and defaults"));
    }
    let ident = &input.ident;
    let (names, writes, reads) = (names(&fields, |_| true), writes(&fields), reads(&fields));
    Ok(quote! {
        #[automatically_derived]
        impl ::comptoir::Field for #ident {
            const TYPE: ::comptoir::FieldType = ::comptoir::FieldType::Map;

            fn to_value(
                &self,
                seen: ::std::option::Option<&::comptoir::Value>,
            ) -> ::std::option::Option<::comptoir::Value> {
                let seen = &::comptoir::record::derived::inside(seen);
                let mut fields = ::comptoir::record::derived::without(seen, &[#names]);
                #writes
                ::std::option::Option::Some(::comptoir::Value::Map(fields))
            }

            fn from_value(
                value: ::std::option::Option<&::comptoir::Value>,
            ) -> ::std::result::Result<Self, ::comptoir::RecordError> {
                let fields = ::comptoir::record::derived::map(value)?;
                ::std::result::Result::Ok(Self { #reads })
            }
        }
    })
}

fn names(fields: &[Part<'_>], wanted: impl Fn(&Part<'_>) -> bool) -> TokenStream {
    let names = fields.iter().filter(|part| wanted(part)).map(|part| &part.name);
    quote!(#(#names),*)
}

fn rule(part: &Part<'_>) -> Option<String> {
    part.rule.as_ref().map(syn::LitStr::value)
}

fn is_counter(part: &Part<'_>) -> bool {
    rule(part).as_deref() == Some("counter")
}

/// What a rule asks of its field's type, which only the compiler knows.
fn checks(fields: &[Part<'_>]) -> TokenStream {
    let check = |part: &Part<'_>| {
        let (wanted, says) = match rule(part)?.as_str() {
            "counter" => (quote!(Int), "a counter is a whole number"),
            "set" => (quote!(List), "a set is a list"),
            "text" => (quote!(String), "a text is a String"),
            rule if rule.starts_with("forward(") => (quote!(String), "a state that moves forward is a String"),
            _ => return None,
        };
        let ty = part.ty;
        Some(quote_spanned! {ty.span()=>
            const _: () = ::std::assert!(
                ::std::matches!(<#ty as ::comptoir::Field>::TYPE, ::comptoir::FieldType::#wanted),
                #says
            );
        })
    };
    fields.iter().filter_map(check).collect()
}

fn writes(fields: &[Part<'_>]) -> TokenStream {
    let write = |part: &Part<'_>| {
        let (ident, name, ty) = (part.ident, &part.name, part.ty);
        let value = quote_spanned! {ty.span()=>
            <#ty as ::comptoir::Field>::to_value(&self.#ident, seen.get(#name))
        };
        let value = match rule(part).as_deref() {
            Some("counter") => quote!(#value.map(::comptoir::record::derived::counter)),
            Some("text") => quote!(#value.map(::comptoir::record::derived::text)),
            _ => value,
        };
        quote! {
            if let ::std::option::Option::Some(value) = #value {
                fields.insert(::std::borrow::ToOwned::to_owned(#name), value);
            }
        }
    };
    fields.iter().map(write).collect()
}

fn reads(fields: &[Part<'_>]) -> TokenStream {
    let read = |part: &Part<'_>| {
        let (ident, name, ty) = (part.ident, &part.name, part.ty);
        let found = quote!(::comptoir::record::derived::given(fields, #name));
        let default = match &part.default {
            Some(default) => Some(value(default)),
            None if is_counter(part) => Some(quote!(::comptoir::Value::Int(0))),
            None => None,
        };
        let found = match default {
            None => found,
            Some(default) => quote!(::std::option::Option::Some(#found.unwrap_or(&#default))),
        };
        quote_spanned! {ty.span()=>
            #ident: <#ty as ::comptoir::Field>::from_value(#found).map_err(|error| error.within(#name))?,
        }
    };
    fields.iter().map(read).collect()
}

fn schema_field(part: &Part<'_>) -> TokenStream {
    let (name, ty) = (&part.name, part.ty);
    let rule = rule(part).unwrap_or_else(|| "last".to_owned());
    let default = match &part.default {
        None => quote!(::std::option::Option::None),
        Some(default) => {
            let default = value(default);
            quote!(::std::option::Option::Some(#default))
        }
    };
    quote_spanned!(ty.span()=> ::comptoir::record::derived::field::<#ty>(#name, #rule, #default))
}

fn value(default: &Lit) -> TokenStream {
    match default {
        Lit::Int(number) => quote_spanned!(number.span()=> ::comptoir::Value::Int(#number)),
        Lit::Float(number) => quote_spanned!(number.span()=> ::comptoir::Value::Float(#number)),
        Lit::Bool(value) => quote_spanned!(value.span()=> ::comptoir::Value::Bool(#value)),
        other => quote_spanned!(other.span()=> ::comptoir::Value::String(::std::borrow::ToOwned::to_owned(#other))),
    }
}
