//! A record as people read it, and its stored form. Reads come from here, never from a document. Must not know JSON
//! or Automerge.
//!
//! Stored form: a flat list of tokens in document order, so that decoding never recurses.

use crate::codec::{self, BorrowDecode, BorrowDecoder, CodecError, Decode, DecodeError, Encode, Versioned};
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// The deepest nesting of lists and maps.
pub const DEPTH_MAX: usize = 32;

/// The most a view holds, in bytes: names and texts, plus 16 for each of them and for each value. What comes later in
/// the document is left out, on every device alike; the gate's limits let only hundreds of thousands of values pass this.
pub const VIEW_BYTES_MAX: usize = 5 << 20;

/// For so many fields room is made before they are read: what a row says of their number need not be so.
const EXPECTED_MAX: usize = 64;

/// A record's fields by name.
pub type Fields = BTreeMap<String, Value>;

/// A field's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Known to be nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number past the range of `Int`.
    Uint(u64),
    /// A number with a fraction.
    Float(f64),
    /// A text that is replaced as a whole.
    String(String),
    /// Bytes; base64 in JSON.
    Bytes(Vec<u8>),
    /// A point in time; RFC 3339 in JSON.
    Timestamp(Timestamp),
    /// Values in order.
    List(Vec<Value>),
    /// Values by name.
    Map(Fields),
    /// A number changed by increments, none of which is ever lost.
    Counter(i64),
    /// A text whose concurrent edits merge.
    Text(String),
}

/// A record at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct View {
    /// Its fields.
    pub fields: Fields,
    /// Whether it is deleted. Its fields are kept for `restore`.
    pub deleted: bool,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
enum Token<T = String, B = Vec<u8>> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float { bits: u64 },
    String(T),
    Bytes(B),
    Timestamp { unix_ms: i64 },
    List { items: u32 },
    Map { fields: u32 },
    Counter(i64),
    Text(T),
    Name(T),
}

/// A view as it is stored.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct StoredView<T = String, B = Vec<u8>> {
    deleted: bool,
    tokens: Vec<Token<T, B>>,
}

impl Versioned for StoredView {
    const WHAT: &'static str = "a record's stored view";
    const VERSION: u8 = 1;
}

impl StoredView {
    /// A view as it is stored, in bytes. [`CodecError::TooLong`] when those are too many.
    pub fn encode(view: &View) -> Result<Vec<u8>, CodecError> {
        let mut tokens: Vec<Token<&str, &[u8]>> = Vec::new();
        write_map(&view.fields, &mut tokens);
        codec::encode_as::<Self, _>(&StoredView { deleted: view.deleted, tokens })
    }

    /// Whether the record is deleted, without reading its fields.
    pub fn deleted(&self) -> bool {
        self.deleted
    }

    /// The view; `None` when the tokens do not form one.
    pub fn view(self) -> Option<View> {
        let mut tokens = self.tokens.into_iter();
        let fields = read_whole(&mut tokens)?;
        Some(View { fields, deleted: self.deleted })
    }
}

/// A value as it is stored.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct StoredValue(Vec<Token>);

impl From<&Value> for StoredValue {
    fn from(value: &Value) -> Self {
        let mut tokens = Vec::new();
        write(value, &mut tokens);
        Self(tokens)
    }
}

impl StoredValue {
    /// The value; `None` when the tokens do not form one.
    pub fn value(self) -> Option<Value> {
        let mut tokens = self.0.into_iter();
        let value = read(&mut tokens, 0)?;
        tokens.next().is_none().then_some(value)
    }
}

/// A stored view that is only read: its fields come straight from the bytes. `None` when the tokens do not form one.
#[derive(Debug)]
pub struct ReadView(pub Option<View>);

impl<'b, C> BorrowDecode<'b, C> for ReadView {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let deleted = bool::decode(decoder)?;
        let left = u64::decode(decoder)?;
        let mut tokens = Tokens { decoder, left, fault: None, bytes: PhantomData };
        let fields = read_whole(&mut tokens);
        // What follows the view begins behind its last token.
        tokens.by_ref().for_each(drop);
        match tokens.fault {
            Some(fault) => Err(fault),
            None => Ok(Self(fields.map(|fields| View { fields, deleted }))),
        }
    }
}

/// Tokens read one by one; ends early at a fault.
struct Tokens<'d, 'b, D> {
    decoder: &'d mut D,
    left: u64,
    fault: Option<DecodeError>,
    bytes: PhantomData<&'b [u8]>,
}

impl<'b, D: BorrowDecoder<'b>> Iterator for Tokens<'_, 'b, D> {
    type Item = Token<&'b str, &'b [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        match Token::borrow_decode(self.decoder) {
            Ok(token) => Some(token),
            Err(fault) => {
                (self.left, self.fault) = (0, Some(fault));
                None
            }
        }
    }
}

/// The fields that all tokens together form.
fn read_whole<T: Into<String>, B: Into<Vec<u8>>>(tokens: &mut impl Iterator<Item = Token<T, B>>) -> Option<Fields> {
    let Some(Token::Map { fields }) = tokens.next() else { return None };
    let fields = read_map(fields, tokens, 0)?;
    tokens.next().is_none().then_some(fields)
}

fn write_map<'v, T: From<&'v str>, B: From<&'v [u8]>>(fields: &'v Fields, out: &mut Vec<Token<T, B>>) {
    out.push(Token::Map { fields: fields.len() as u32 });
    for (name, value) in fields {
        out.push(Token::Name(name.as_str().into()));
        write(value, out);
    }
}

fn write<'v, T: From<&'v str>, B: From<&'v [u8]>>(value: &'v Value, out: &mut Vec<Token<T, B>>) {
    out.push(match value {
        Value::Null => Token::Null,
        Value::Bool(value) => Token::Bool(*value),
        Value::Int(value) => Token::Int(*value),
        Value::Uint(value) => Token::Uint(*value),
        Value::Float(value) => Token::Float { bits: value.to_bits() },
        Value::String(value) => Token::String(value.as_str().into()),
        Value::Bytes(value) => Token::Bytes(value.as_slice().into()),
        Value::Timestamp(value) => Token::Timestamp { unix_ms: value.unix_ms },
        Value::Counter(value) => Token::Counter(*value),
        Value::Text(value) => Token::Text(value.as_str().into()),
        Value::Map(fields) => return write_map(fields, out),
        Value::List(items) => {
            out.push(Token::List { items: items.len() as u32 });
            return items.iter().for_each(|item| write(item, out));
        }
    });
}

fn read_map<T: Into<String>, B: Into<Vec<u8>>>(
    count: u32,
    tokens: &mut impl Iterator<Item = Token<T, B>>,
    depth: usize,
) -> Option<Fields> {
    let mut fields = Vec::with_capacity((count as usize).min(EXPECTED_MAX));
    for _ in 0..count {
        let Some(Token::Name(name)) = tokens.next() else { return None };
        fields.push((name.into(), read(tokens, depth)?));
    }
    // All at once, because in order they need not be searched for their places.
    Some(fields.into_iter().collect())
}

fn read<T: Into<String>, B: Into<Vec<u8>>>(
    tokens: &mut impl Iterator<Item = Token<T, B>>,
    depth: usize,
) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    Some(match tokens.next()? {
        Token::Null => Value::Null,
        Token::Bool(value) => Value::Bool(value),
        Token::Int(value) => Value::Int(value),
        Token::Uint(value) => Value::Uint(value),
        Token::Float { bits } => Value::Float(f64::from_bits(bits)),
        Token::String(value) => Value::String(value.into()),
        Token::Bytes(value) => Value::Bytes(value.into()),
        Token::Timestamp { unix_ms } => Value::Timestamp(Timestamp { unix_ms }),
        Token::Counter(value) => Value::Counter(value),
        Token::Text(value) => Value::Text(value.into()),
        Token::Map { fields } => Value::Map(read_map(fields, tokens, depth + 1)?),
        Token::List { items } => Value::List((0..items).map(|_| read(tokens, depth + 1)).collect::<Option<_>>()?),
        Token::Name(_) => return None,
    })
}
