//! The words of a text, as they are searched: without case and accents. Must not know filters or storage.

use super::field::Field;
use crate::id::Key;
use crate::record::{Value, View};
use std::collections::BTreeSet;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The most of a word that counts, in bytes.
pub const WORD_BYTES_MAX: usize = 48;
/// The first words of a field are searched, no more than so many.
pub const FIELD_WORDS_MAX: usize = 256;
/// The most words that are searched for at once.
pub const TYPED_WORDS_MAX: usize = 16;

/// The words of a text in order: runs of letters and digits, in lower case, without accents, compatibility forms
/// spelled out (Unicode NFKD); ligatures and letters with a stroke by their plain letters.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    let mut plain = text.nfkd().flat_map(char::to_lowercase).filter(|c| !is_combining_mark(*c));
    std::iter::from_fn(move || {
        let mut word = String::new();
        let first = plain.by_ref().find(|c| c.is_alphanumeric())?;
        push(&mut word, first);
        plain.by_ref().take_while(|c| c.is_alphanumeric()).for_each(|c| push(&mut word, c));
        Some(word)
    })
}

/// What is past the limit is left out.
fn push(word: &mut String, c: char) {
    let plain = match c {
        'œ' => "oe",
        'æ' => "ae",
        'ß' => "ss",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ł' => "l",
        'þ' => "th",
        'ı' => "i",
        _ => "",
    };
    let bytes = if plain.is_empty() { c.len_utf8() } else { plain.len() };
    match () {
        _ if word.len() + bytes > WORD_BYTES_MAX => {}
        _ if plain.is_empty() => word.push(c),
        _ => word.push_str(plain),
    }
}

/// What somebody typed to find a record: every word of it must begin a word of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    typed: String,
    /// None begins another; the empty search finds everything.
    words: Vec<String>,
}

impl Words {
    /// The words of what was typed, at most [`TYPED_WORDS_MAX`] of them.
    pub fn new(typed: &str) -> Self {
        let all: BTreeSet<String> = words(typed).take(TYPED_WORDS_MAX).collect();
        let begins_another = |word: &String| all.iter().any(|other| other != word && other.starts_with(word.as_str()));
        let words = all.iter().filter(|word| !begins_another(word)).cloned().collect();
        Self { typed: typed.to_owned(), words }
    }

    /// As it was typed.
    pub fn typed(&self) -> &str {
        &self.typed
    }

    /// The beginnings of words that a record must have, in order.
    pub fn prefixes(&self) -> &[String] {
        &self.words
    }

    /// Whether each begins one of the words of these fields; of all fields where none is named.
    pub fn are_in(&self, fields: &[Field], key: &Key, view: &View) -> bool {
        let mut missing: Vec<&String> = self.words.iter().collect();
        each_word(fields, key, view, |word| {
            missing.retain(|prefix| !word.starts_with(prefix.as_str()));
            !missing.is_empty()
        });
        missing.is_empty()
    }
}

/// All words of these fields.
pub fn words_of(fields: &[Field], key: &Key, view: &View) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    each_word(fields, key, view, |word| {
        found.insert(word);
        true
    });
    found
}

fn each_word(fields: &[Field], key: &Key, view: &View, mut tell: impl FnMut(String) -> bool) {
    let mut more = |value: &Value| {
        let mut left = FIELD_WORDS_MAX;
        each_word_of(value, &mut left, &mut tell)
    };
    match fields {
        [] => drop(view.fields.values().all(&mut more)),
        named => drop(named.iter().all(|field| field.of(key, view).is_none_or(|value| more(&value)))),
    }
}

/// Tells the words of a value, those of lists and maps included; false when no more are wanted.
fn each_word_of(value: &Value, left: &mut usize, tell: &mut impl FnMut(String) -> bool) -> bool {
    let mut all = |text: &str| {
        let count = *left;
        words(text).take(count).all(|word| {
            *left -= 1;
            tell(word)
        })
    };
    match value {
        Value::String(text) | Value::Text(text) => all(text),
        Value::Int(number) | Value::Counter(number) => all(&number.to_string()),
        Value::Uint(number) => all(&number.to_string()),
        Value::List(items) => items.iter().all(|item| each_word_of(item, left, tell)),
        Value::Map(fields) => fields.values().all(|item| each_word_of(item, left, tell)),
        Value::Null | Value::Bool(_) | Value::Float(_) | Value::Bytes(_) | Value::Timestamp(_) => true,
    }
}
