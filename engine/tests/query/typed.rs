//! Filters and orders as people type them: what they mean, and what is said of those that are wrong.

use super::{fields, parse, text};
use comptoir_engine::{Key, Query, QueryError, Timestamp, Value, View};

#[test]
fn a_wrong_text_is_told_where_and_what_should_be_there() {
    const CONDITION: &str = "a condition such as =, <, in, starts with, contains, or is null";
    const VALUE: &str = "a value: a number, true, false, null, or a text in quotes";
    for (text, position, expected, found) in [
        ("", 1, "a field, not, or (", "the end"),
        ("price", 6, CONDITION, "the end"),
        ("price <", 8, VALUE, "the end"),
        ("price < milk", 9, VALUE, "\"milk\""),
        ("price 5", 7, CONDITION, "5"),
        ("price = 5 6", 11, "and, or, or the end", "6"),
        ("(price = 5", 11, "and, or, or )", "the end"),
        ("price in 5", 10, "( and values", "5"),
        ("price in (5 6)", 13, "a comma or )", "6"),
        ("name starts 'a'", 13, "with", "the text 'a'"),
        ("name contains 5", 15, "a text in quotes", "5"),
        ("é = 5 and", 10, "a field, not, or (", "the end"),
        ("name = 'Tea", 8, "a closing quote", "a text without end"),
        ("price = 1x", 9, "a number of 64 bits", "\"1x\""),
        ("price = 99999999999999999999", 9, "a number of 64 bits", "\"99999999999999999999\""),
        ("price ; 5", 7, "a field, a value or a comparison", "\";\""),
        ("x is 5", 6, "null or not null", "5"),
        ("not = 5", 5, "a field, not, or (", "\"=\""),
    ] {
        let error = Query::parse(text).unwrap_err();
        assert_eq!(error, QueryError::Syntax { position, expected, found: found.to_owned() }, "{text}");
    }
    let deep = "(".repeat(100) + "a = 1" + &")".repeat(100);
    assert!(matches!(Query::parse(&deep), Err(QueryError::TooLarge { limit_max: 32, .. })));
    assert!(matches!(Query::parse(&"not ".repeat(2_000)), Err(QueryError::TooLarge { limit_max: 32, .. })));
    let long = vec!["a = 1"; 300].join(" or ");
    assert!(matches!(Query::parse(&long), Err(QueryError::TooLarge { limit_max: 256, .. })));
    assert!(matches!(Query::parse(&"a".repeat(9_000)), Err(QueryError::TooLarge { .. })));
    assert!(matches!(Query::parse_order("a, b, c, d, e, f, g, h, i"), Err(QueryError::TooLarge { .. })));
    assert!(matches!(Query::parse_order("a down"), Err(QueryError::Syntax { position: 3, .. })));
}

#[test]
fn what_is_typed_means_what_it_says() {
    let view = View {
        fields: fields([
            ("name", text("L'Œuf à la coque")),
            ("price", Value::Counter(320)),
            ("it's", text("say \"hi\"")),
            ("a.b", Value::Bool(true)),
            ("at", Value::Timestamp(Timestamp::parse("2017-01-02T03:04:05Z").unwrap())),
            ("tags", Value::List(vec![text("hot"), text("new")])),
            ("supplier", Value::Map(fields([("name", text("Dupont")), ("in", Value::Null)]))),
        ]),
        deleted: false,
    };
    let key = Key::new("tea-1").unwrap();
    for (filter, holds) in [
        ("price = 320", true),
        ("price == 320.0 AND price <> 321", true),
        ("price >= 319.5 and not price > 320", true),
        ("price < 'x' or price > 'x'", false),
        ("price != 'x'", true),
        ("missing != 5", true),
        ("missing < 5", false),
        ("missing is null and supplier.in is null and price is not null", true),
        ("missing = null", true),
        ("supplier.name = 'Dupont'", true),
        ("/supplier/name = \"Dupont\"", true),
        ("`/a.b` = true and `a.b` = true and not a.b = true", true),
        ("/tags/1 = 'new' and /tags/2 is null", true),
        ("`it's` = 'say \"hi\"' and `it's` = \"say \"\"hi\"\"\"", true),
        ("at = '2017-01-02T04:04:05+01:00' and at > '2016-12-31T23:59:59Z'", true),
        ("at < 'tomorrow'", false),
        ("price in (1, 320) and price not in (1, 2)", true),
        ("name starts with 'L''' and name not starts with 'l'", true),
        ("name contains 'oeuf COQ'", true),
        ("name contains 'que'", false),
        ("words(tags, name) contains 'ho oeu' and words() contains 'dup'", true),
        ("_key = 'tea-1' and _key starts with 'tea' and `_key` is null", true),
        ("not (price = 1 or (price = 2 and price = 3))", true),
        ("price = 1 or price = 320 and missing is null", true),
    ] {
        assert_eq!(parse(filter).matches(&key, &view), holds, "{filter}");
    }
    let order = Query::parse_order("price desc, supplier.name ASC, _key").unwrap();
    let said: Vec<_> = order.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["price desc", "supplier.name", "_key"]);
}
