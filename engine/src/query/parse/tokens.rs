//! A query's text cut into tokens. Must not know what they mean.

use crate::query::QueryError;
use crate::record::Value;
use std::fmt;

/// A token and where it begins: the number of its first character, from 1.
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) position: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// Names, joined by dots or not.
    Word(String),
    /// Begins with a slash.
    Pointer(String),
    /// In backquotes.
    Quoted(String),
    Text(String),
    Number(Value),
    Symbol(&'static str),
    End,
}

const SYMBOLS: [&str; 11] = ["==", "!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ","];

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Pointer(text) => write!(f, "\"{text}\""),
            Self::Quoted(text) => write!(f, "`{text}`"),
            Self::Text(text) => write!(f, "the text '{text}'"),
            Self::Number(Value::Float(number)) => write!(f, "{number:?}"),
            Self::Number(Value::Int(number)) => write!(f, "{number}"),
            Self::Number(_) => f.write_str("a number"),
            Self::Symbol(symbol) => write!(f, "\"{symbol}\""),
            Self::End => f.write_str("the end"),
        }
    }
}

/// All tokens; the last one is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, QueryError> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let position = text[..text.len() - rest.len()].chars().count() + 1;
        let (token, len) = next(rest, position)?;
        let end = token == Token::End;
        found.push(Placed { token, position });
        if end {
            return Ok(found);
        }
        rest = rest[len..].trim_start();
    }
}

/// The token that `rest` begins with, and its bytes.
fn next(rest: &str, position: usize) -> Result<(Token, usize), QueryError> {
    let Some(first) = rest.chars().next() else { return Ok((Token::End, 0)) };
    if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol)) {
        return Ok((Token::Symbol(symbol), symbol.len()));
    }
    match first {
        '\'' | '"' | '`' => {
            let (inside, len) = quoted(rest, first, position)?;
            Ok((if first == '`' { Token::Quoted(inside) } else { Token::Text(inside) }, len))
        }
        '/' => {
            let end = |c: char| c.is_whitespace() || "=<>!(),'\"`".contains(c);
            let pointer = &rest[..rest.find(end).unwrap_or(rest.len())];
            Ok((Token::Pointer(pointer.to_owned()), pointer.len()))
        }
        '-' | '+' | '.' | '0'..='9' => {
            let end = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '+' | '_');
            let written = &rest[..rest.find(end).unwrap_or(rest.len())];
            Ok((Token::Number(number(written, position)?), written.len()))
        }
        _ if is_name(first) => {
            let end = |c: char| !is_name(c) && !matches!(c, '.' | '-');
            let word = &rest[..rest.find(end).unwrap_or(rest.len())];
            Ok((Token::Word(word.to_owned()), word.len()))
        }
        other => Err(QueryError::Syntax {
            position,
            expected: "a field, a value or a comparison",
            found: format!("\"{other}\""),
        }),
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What stands between quotes; a quote in it is written twice.
fn quoted(rest: &str, quote: char, position: usize) -> Result<(String, usize), QueryError> {
    let mut inside = String::new();
    let mut at = 1;
    loop {
        let Some(end) = rest[at..].find(quote) else {
            let expected = "a closing quote";
            return Err(QueryError::Syntax { position, expected, found: "a text without end".to_owned() });
        };
        inside.push_str(&rest[at..at + end]);
        at += end + 1;
        if !rest[at..].starts_with(quote) {
            return Ok((inside, at));
        }
        inside.push(quote);
        at += 1;
    }
}

fn number(written: &str, position: usize) -> Result<Value, QueryError> {
    let whole = written.parse().map(Value::Int).or_else(|_| written.parse().map(Value::Uint));
    let fraction =
        || written.parse().ok().filter(|number: &f64| number.is_finite() && written.contains(['.', 'e', 'E']));
    whole.ok().or_else(|| fraction().map(Value::Float)).ok_or_else(|| QueryError::Syntax {
        position,
        expected: "a number of 64 bits",
        found: format!("\"{written}\""),
    })
}
