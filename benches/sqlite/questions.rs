//! What is asked: lists as a shelf shows them, searches as a cashier types them. Must not know any store.

use crate::shop::{LIST_PRODUCTS, Product};
use std::collections::BTreeMap;

/// How much of a word a cashier types, in letters: of the first, and of the second.
const TYPED: [usize; 2] = [4, 3];

/// The products of one department from a price on, the cheapest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List<'p> {
    pub(crate) department: &'p str,
    pub(crate) from_cents: i64,
}

/// For each product the list that begins at its price, where there is a whole page of it.
pub(crate) fn lists<'p>(products: &'p [Product]) -> impl Fn(&Product) -> Option<List<'p>> {
    let mut prices: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for product in products {
        prices.entry(&product.department).or_default().extend(product.price_cents);
    }
    prices.values_mut().for_each(|prices| prices.sort_unstable());
    move |product| {
        let (department, prices) = prices.get_key_value(product.department.as_str())?;
        let from_cents = product.price_cents?;
        let dearer = prices.len() - prices.partition_point(|price| *price < from_cents);
        (dearer >= LIST_PRODUCTS).then_some(List { department, from_cents })
    }
}

/// The beginnings of two words of a product's type; `None` where it has no two of letters alone.
pub(crate) fn typed(product: &Product) -> Option<String> {
    let kind = product.kind.as_deref()?;
    let mut words =
        kind.split(' ').filter(|word| word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_uppercase()));
    let (first, second) = (words.next()?, words.next()?);
    let begin = |word: &str, letters| word.chars().take(letters).collect::<String>().to_lowercase();
    Some(format!("{} {}", begin(first, TYPED[0]), begin(second, TYPED[1])))
}
