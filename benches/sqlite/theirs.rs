//! The same shop on SQLite, as a mobile developer would set it up: WAL, synchronous=FULL, an index for the list by
//! department and price, FTS5 with prefixes for the search. Must not know what is measured.

use crate::questions::List;
use crate::shop::{LIST_PRODUCTS, Product, SEARCH_PRODUCTS, Till};
use comptoir_benches::NOW;
use rusqlite::{Connection, Params, Row, params};
use std::path::Path;

const SCHEMA: &str = "
    CREATE TABLE products (
        id TEXT PRIMARY KEY NOT NULL,
        department TEXT NOT NULL,
        brand TEXT NOT NULL,
        category TEXT,
        type TEXT,
        package_size TEXT,
        manufacturer_id TEXT NOT NULL,
        price_cents INTEGER,
        sold_2017 INTEGER NOT NULL,
        stock INTEGER NOT NULL
    );
    CREATE TABLE sales (id TEXT PRIMARY KEY NOT NULL, at_ms INTEGER NOT NULL, lines TEXT NOT NULL);
    CREATE INDEX by_department ON products (department, price_cents);
    CREATE VIRTUAL TABLE words USING fts5 (type, brand, content='products', prefix='2 3 4');
    CREATE TRIGGER words_added AFTER INSERT ON products BEGIN
        INSERT INTO words (rowid, type, brand) VALUES (new.rowid, new.type, new.brand);
    END;
    CREATE TRIGGER words_changed AFTER UPDATE OF type, brand ON products BEGIN
        INSERT INTO words (words, rowid, type, brand) VALUES ('delete', old.rowid, old.type, old.brand);
        INSERT INTO words (rowid, type, brand) VALUES (new.rowid, new.type, new.brand);
    END;
";

const SELL: &str = "UPDATE products SET stock = stock - 1 WHERE id = ?1";

const LIST: &str = "SELECT * FROM products WHERE department = ?1 AND price_cents >= ?2 ORDER BY price_cents LIMIT ?3";

const SEARCH: &str =
    "SELECT products.* FROM words JOIN products ON products.rowid = words.rowid WHERE words MATCH ?1 LIMIT ?2";

/// SQLite through rusqlite, statements prepared once.
pub(crate) struct Sqlite {
    connection: Connection,
    /// Department and price.
    shown: (String, i64),
}

impl Till for Sqlite {
    fn load(dir: &Path, products: &[Product]) {
        let mut connection = connect(dir);
        connection.execute_batch(SCHEMA).expect("a schema");
        let all = connection.transaction().expect("a transaction");
        let mut insert =
            all.prepare("INSERT INTO products VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)").expect("a statement");
        for p in products {
            let row = params![
                p.id,
                p.department,
                p.brand,
                p.category,
                p.kind,
                p.package_size,
                p.manufacturer_id,
                p.price_cents,
                p.sold,
                p.stock
            ];
            insert.execute(row).expect("inserted");
        }
        drop(insert);
        all.commit().expect("loaded");
        connection.execute_batch("ANALYZE; INSERT INTO words (words) VALUES ('optimize')").expect("optimised");
    }

    fn open(dir: &Path) -> Self {
        Self { connection: connect(dir), shown: Default::default() }
    }

    fn sell(&mut self, product: &str) {
        let changed = self.connection.prepare_cached(SELL).and_then(|mut sell| sell.execute([product]));
        assert_eq!(changed, Ok(1));
    }

    fn sale(&mut self, sale: u64, products: &[&str]) {
        let lines: Vec<_> =
            products.iter().map(|product| serde_json::json!({ "product": product, "qty": 1 })).collect();
        let lines = serde_json::Value::Array(lines).to_string();
        let all = self.connection.transaction().expect("a transaction");
        let row = params![format!("{sale:09}"), NOW.wall.unix_ms, lines];
        let mut insert = all.prepare_cached("INSERT INTO sales VALUES (?1, ?2, ?3)").expect("a statement");
        insert.execute(row).expect("inserted");
        drop(insert);
        let mut sell = all.prepare_cached(SELL).expect("a statement");
        for product in products {
            assert_eq!(sell.execute([product]), Ok(1));
        }
        drop(sell);
        all.commit().expect("saved");
    }

    fn get(&mut self, product: &str) -> Product {
        let mut select = self.connection.prepare_cached("SELECT * FROM products WHERE id = ?1").expect("a statement");
        select.query_row([product], of_row).expect("a product")
    }

    fn list(&mut self, list: &List<'_>) -> Vec<Product> {
        self.select(LIST, params![list.department, list.from_cents, LIST_PRODUCTS as i64])
    }

    fn search(&mut self, typed: &str) -> Vec<Product> {
        let words: Vec<_> = typed.split(' ').map(|word| format!("\"{word}\"*")).collect();
        self.select(SEARCH, params![words.join(" "), SEARCH_PRODUCTS as i64])
    }

    fn show(&mut self, list: &List<'_>) {
        self.shown = (list.department.to_owned(), list.from_cents);
    }

    /// The list again: the update hook tells which row changed, not what that does to an answer.
    fn news(&mut self) -> Vec<Product> {
        self.select(LIST, params![self.shown.0, self.shown.1, LIST_PRODUCTS as i64])
    }
}

impl Sqlite {
    fn select(&self, statement: &str, values: impl Params) -> Vec<Product> {
        let mut select = self.connection.prepare_cached(statement).expect("a statement");
        let rows = select.query_map(values, of_row).expect("an answer");
        rows.collect::<rusqlite::Result<_>>().expect("products")
    }
}

fn connect(dir: &Path) -> Connection {
    let connection = Connection::open(dir.join("shop.db")).expect("a database");
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;").expect("durable");
    connection
}

fn of_row(row: &Row<'_>) -> rusqlite::Result<Product> {
    Ok(Product {
        id: row.get(0)?,
        department: row.get(1)?,
        brand: row.get(2)?,
        category: row.get(3)?,
        kind: row.get(4)?,
        package_size: row.get(5)?,
        manufacturer_id: row.get(6)?,
        price_cents: row.get(7)?,
        sold: row.get(8)?,
        stock: row.get(9)?,
    })
}
