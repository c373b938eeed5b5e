//! The text form of a filter and of an order, as a person types them. Must not know storage.
//!
//! ```text
//! filter     = all { "or" all }
//! all        = one { "and" one }
//! one        = "not" one | "(" filter ")" | "words" "(" [ field { "," field } ] ")" "contains" text
//!            | field ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
//!            | field [ "not" ] ( "in" "(" value { "," value } ")" | "starts" "with" text | "contains" text )
//!            | field "is" [ "not" ] "null"
//! field      = name { "." name } | JSON Pointer | name or JSON Pointer in backquotes | "_key"
//! value      = text | number | "true" | "false" | "null"
//! text       = in single or double quotes, a quote inside it written twice
//! order      = field [ "asc" | "desc" ] { "," field [ "asc" | "desc" ] }
//! ```
//!
//! Words of the language may be written in capitals. A time is a text in the form of RFC 3339.

mod tokens;

use super::field::Field;
use super::filter::{Filter, Op};
use super::words::Words;
use super::{DEPTH_MAX, ORDER_FIELDS_MAX, Order, QueryError, TERMS_MAX, TEXT_BYTES_MAX};
use crate::record::Value;
use tokens::{Placed, Token};

const RESERVED: [&str; 12] =
    ["and", "or", "not", "in", "is", "null", "true", "false", "words", "starts", "contains", "with"];

pub(super) fn is_word_of_the_language(name: &str) -> bool {
    RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name))
}

/// The filter that a text says.
pub(super) fn filter(text: &str) -> Result<Filter, QueryError> {
    let mut parser = Parser::new(text)?;
    let filter = parser.any(0)?;
    parser.end("and, or, or the end")?;
    Ok(filter)
}

/// The order that a text says.
pub(super) fn order(text: &str) -> Result<Vec<Order>, QueryError> {
    let mut parser = Parser::new(text)?;
    let mut order = Vec::new();
    loop {
        let field = parser.field("a field")?;
        let descending = parser.takes_word("desc");
        if !descending {
            parser.takes_word("asc");
        }
        order.push(Order { field, descending });
        if order.len() > ORDER_FIELDS_MAX {
            return Err(QueryError::TooLarge { limit: "fields to order by", limit_max: ORDER_FIELDS_MAX });
        }
        if !parser.takes(&Token::Symbol(",")) {
            parser.end("asc, desc, a comma, or the end")?;
            return Ok(order);
        }
    }
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    terms: usize,
}

impl Parser {
    fn new(text: &str) -> Result<Self, QueryError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(QueryError::TooLarge { limit: "bytes of text", limit_max: TEXT_BYTES_MAX });
        }
        Ok(Self { tokens: tokens::tokens(text)?, at: 0, terms: 0 })
    }

    fn any(&mut self, depth: usize) -> Result<Filter, QueryError> {
        self.chain("or", Filter::Or, |parser| parser.chain("and", Filter::And, |parser| parser.one(depth)))
    }

    fn chain(
        &mut self,
        word: &str,
        join: fn(Vec<Filter>) -> Filter,
        mut next: impl FnMut(&mut Self) -> Result<Filter, QueryError>,
    ) -> Result<Filter, QueryError> {
        let first = next(self)?;
        if !self.takes_word(word) {
            return Ok(first);
        }
        let mut parts = vec![first, next(self)?];
        while self.takes_word(word) {
            parts.push(next(self)?);
        }
        Ok(join(parts))
    }

    fn one(&mut self, depth: usize) -> Result<Filter, QueryError> {
        if depth >= DEPTH_MAX {
            return Err(QueryError::TooLarge { limit: "levels of parentheses and not", limit_max: DEPTH_MAX });
        }
        if self.takes_word("not") {
            return Ok(Filter::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.takes(&Token::Symbol("(")) {
            let inside = self.any(depth + 1)?;
            self.expect(")", "and, or, or )")?;
            return Ok(inside);
        }
        self.count()?;
        let of_words = self.is_word(0, "words") && self.tokens[self.at + 1].token == Token::Symbol("(");
        if of_words {
            return self.words();
        }
        let field = self.field("a field, not, or (")?;
        self.condition(field)
    }

    fn words(&mut self) -> Result<Filter, QueryError> {
        self.at += 2;
        let mut fields = Vec::new();
        while !self.takes(&Token::Symbol(")")) {
            if !fields.is_empty() {
                self.expect(",", "a comma or )")?;
            }
            fields.push(self.field("a field")?);
            self.count()?;
        }
        self.expect_word("contains", "contains")?;
        Ok(Filter::Words { fields, words: Words::new(&self.text()?) })
    }

    fn condition(&mut self, field: Field) -> Result<Filter, QueryError> {
        if let Token::Symbol(symbol) = self.token() {
            let op = match *symbol {
                "=" | "==" => Op::Eq,
                "!=" | "<>" => Op::Ne,
                "<" => Op::Lt,
                "<=" => Op::Le,
                ">" => Op::Gt,
                ">=" => Op::Ge,
                _ => return Err(self.wrong(CONDITIONS)),
            };
            self.at += 1;
            return Ok(Filter::Compare { field, op, value: self.value()? });
        }
        if self.takes_word("is") {
            let not = self.takes_word("not");
            self.expect_word("null", if not { "null" } else { "null or not null" })?;
            return Ok(negated(not, Filter::Null(field)));
        }
        let not = self.takes_word("not");
        if self.takes_word("in") {
            self.expect("(", "( and values")?;
            let mut values = vec![self.value()?];
            while !self.takes(&Token::Symbol(")")) {
                self.expect(",", "a comma or )")?;
                values.push(self.value()?);
                self.count()?;
            }
            return Ok(negated(not, Filter::In { field, values }));
        }
        if self.takes_word("starts") {
            self.expect_word("with", "with")?;
            return Ok(negated(not, Filter::Prefix { field, prefix: self.text()? }));
        }
        if self.takes_word("contains") {
            let words = Words::new(&self.text()?);
            return Ok(negated(not, Filter::Words { fields: vec![field], words }));
        }
        Err(self.wrong(if not { "in, starts with, or contains" } else { CONDITIONS }))
    }

    fn value(&mut self) -> Result<Value, QueryError> {
        let value = match self.token() {
            Token::Text(text) => Value::String(text.clone()),
            Token::Number(number) => number.clone(),
            Token::Word(word) if word.eq_ignore_ascii_case("true") => Value::Bool(true),
            Token::Word(word) if word.eq_ignore_ascii_case("false") => Value::Bool(false),
            Token::Word(word) if word.eq_ignore_ascii_case("null") => Value::Null,
            _ => return Err(self.wrong("a value: a number, true, false, null, or a text in quotes")),
        };
        self.at += 1;
        Ok(value)
    }

    fn text(&mut self) -> Result<String, QueryError> {
        let Token::Text(text) = self.token() else { return Err(self.wrong("a text in quotes")) };
        let text = text.clone();
        self.at += 1;
        Ok(text)
    }

    fn field(&mut self, expected: &'static str) -> Result<Field, QueryError> {
        let field = match self.token() {
            Token::Word(word) if !RESERVED[..8].iter().any(|reserved| reserved.eq_ignore_ascii_case(word)) => {
                Field::typed(word)
            }
            Token::Pointer(pointer) => Field::named(pointer),
            Token::Quoted(name) => Field::named(name),
            _ => return Err(self.wrong(expected)),
        };
        self.at += 1;
        Ok(field)
    }

    fn token(&self) -> &Token {
        &self.tokens[self.at].token
    }

    fn takes(&mut self, token: &Token) -> bool {
        let taken = self.token() == token;
        self.at += usize::from(taken);
        taken
    }

    fn is_word(&self, ahead: usize, word: &str) -> bool {
        matches!(&self.tokens[self.at + ahead].token, Token::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let taken = self.is_word(0, word);
        self.at += usize::from(taken);
        taken
    }

    fn expect(&mut self, symbol: &'static str, expected: &'static str) -> Result<(), QueryError> {
        if self.takes(&Token::Symbol(symbol)) { Ok(()) } else { Err(self.wrong(expected)) }
    }

    fn expect_word(&mut self, word: &str, expected: &'static str) -> Result<(), QueryError> {
        if self.takes_word(word) { Ok(()) } else { Err(self.wrong(expected)) }
    }

    fn end(&mut self, expected: &'static str) -> Result<(), QueryError> {
        if *self.token() == Token::End { Ok(()) } else { Err(self.wrong(expected)) }
    }

    fn wrong(&self, expected: &'static str) -> QueryError {
        let found = &self.tokens[self.at];
        QueryError::Syntax { position: found.position, expected, found: found.token.to_string() }
    }

    fn count(&mut self) -> Result<(), QueryError> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(QueryError::TooLarge { limit: "conditions and values", limit_max: TERMS_MAX });
        }
        Ok(())
    }
}

const CONDITIONS: &str = "a condition such as =, <, in, starts with, contains, or is null";

fn negated(not: bool, filter: Filter) -> Filter {
    if not { Filter::Not(Box::new(filter)) } else { filter }
}
