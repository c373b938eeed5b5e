//! What stands in `#[record(..)]`, checked as far as the text tells. Must not write code.

use syn::ext::IdentExt as _;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned as _;
use syn::{Attribute, Data, DeriveInput, Error, Field, Fields, Ident, Lit, LitStr, Result, Type};

/// The rules that are written as one word.
const RULES: [&str; 7] = ["last", "first", "max", "min", "counter", "set", "text"];

/// The struct's own attribute.
pub(crate) struct Whole {
    pub(crate) collection: LitStr,
    /// Name and fields of each index.
    pub(crate) indexes: Vec<(String, LitStr)>,
}

/// One field.
pub(crate) struct Part<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) ty: &'a Type,
    /// As it is stored.
    pub(crate) name: String,
    pub(crate) key: bool,
    pub(crate) rule: Option<LitStr>,
    pub(crate) default: Option<Lit>,
}

/// The fields of a struct with named fields and nothing generic.
pub(crate) fn parts(input: &DeriveInput) -> Result<Vec<Part<'_>>> {
    let plain = "use a struct with named fields";
    let Data::Struct(data) = &input.data else { return Err(Error::new(input.ident.span(), plain)) };
    let Fields::Named(fields) = &data.fields else { return Err(Error::new(input.ident.span(), plain)) };
    if !input.generics.params.is_empty() {
        return Err(Error::new(input.generics.span(), "a record has no type parameters and no lifetimes"));
    }
    fields.named.iter().map(part).collect()
}

fn part(field: &Field) -> Result<Part<'_>> {
    let ident = field.ident.as_ref().ok_or_else(|| Error::new(field.span(), "a field needs a name"))?;
    let name = ident.unraw().to_string();
    let mut part = Part { ident, ty: &field.ty, name, key: false, rule: None, default: None };
    each(&field.attrs, |meta| match () {
        _ if meta.path.is_ident("key") => {
            part.key = true;
            Ok(())
        }
        _ if meta.path.is_ident("rule") => {
            let rule: LitStr = meta.value()?.parse()?;
            check_rule(&rule)?;
            part.rule = Some(rule);
            Ok(())
        }
        _ if meta.path.is_ident("default") => {
            part.default = Some(check_default(meta.value()?.parse()?)?);
            Ok(())
        }
        _ => Err(meta.error("use `key`, `rule = \"..\"` or `default = ..`")),
    })?;
    if part.key && (part.rule.is_some() || part.default.is_some()) {
        return Err(Error::new(ident.span(), "the key is the record's name: it has no rule and no default"));
    }
    Ok(part)
}

/// The attribute of the struct, whose fields are `parts`.
pub(crate) fn whole(input: &DeriveInput, parts: &[Part<'_>]) -> Result<Whole> {
    let (mut collection, mut indexes) = (None, Vec::new());
    each(&input.attrs, |meta| match () {
        _ if meta.path.is_ident("collection") => {
            let name: LitStr = meta.value()?.parse()?;
            check_collection(&name)?;
            collection = Some(name);
            Ok(())
        }
        _ if meta.path.is_ident("index") => meta.parse_nested_meta(|meta| {
            let name = meta.path.require_ident()?.unraw().to_string();
            let fields: LitStr = meta.value()?.parse()?;
            check_index(&fields, parts)?;
            indexes.push((name, fields));
            Ok(())
        }),
        _ => Err(meta.error("use `collection = \"..\"` or `index(NAME = \"..\")`")),
    })?;
    let missing = || Error::new(input.ident.span(), "name its collection: #[record(collection = \"..\")]");
    Ok(Whole { collection: collection.ok_or_else(missing)?, indexes })
}

fn each(attributes: &[Attribute], mut read: impl FnMut(ParseNestedMeta<'_>) -> Result<()>) -> Result<()> {
    let mut ours = attributes.iter().filter(|attribute| attribute.path().is_ident("record"));
    ours.try_for_each(|attribute| attribute.parse_nested_meta(&mut read))
}

/// The rules of `comptoir::Collection`; a leading `_` marks Comptoir's own.
fn check_collection(name: &LitStr) -> Result<()> {
    let text = name.value();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    let begins = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    match begins && text.len() <= 64 && text.bytes().all(plain) {
        true => Ok(()),
        false => Err(Error::new(
            name.span(),
            "a collection has 1 to 64 characters: lower-case letters, digits, '-', '_' and '.', a letter or digit first",
        )),
    }
}

fn check_rule(rule: &LitStr) -> Result<()> {
    let text = rule.value();
    let states = text.strip_prefix("forward(").and_then(|rest| rest.strip_suffix(')'));
    let states: Vec<_> = states.map(|states| states.split('<').map(str::trim).collect()).unwrap_or_default();
    let distinct = states.iter().enumerate().all(|(at, state)| !state.is_empty() && !states[..at].contains(state));
    match RULES.contains(&text.as_str()) || (!states.is_empty() && distinct) {
        true => Ok(()),
        false => Err(Error::new(
            rule.span(),
            "a rule is one of last, first, max, min, counter, set, text and forward(a<b<c)",
        )),
    }
}

fn check_default(default: Lit) -> Result<Lit> {
    match default {
        Lit::Str(_) | Lit::Int(_) | Lit::Float(_) | Lit::Bool(_) => Ok(default),
        _ => Err(Error::new(default.span(), "a default is a text, a number, true or false")),
    }
}

fn check_index(index: &LitStr, parts: &[Part<'_>]) -> Result<()> {
    let text = index.value();
    let inside = text.trim().strip_prefix("words(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(&text);
    for field in inside.split(',').map(str::trim) {
        let known = parts.iter().any(|part| !part.key && part.name == field);
        // Only the struct's own fields can be looked up here, not those of a nested one.
        if !known && !field.starts_with('/') {
            return Err(Error::new(index.span(), format!("the struct has no field \"{field}\" to be indexed")));
        }
    }
    Ok(())
}
