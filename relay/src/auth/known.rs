//! Tokens that were shown and found good, by the short names under which devices show them again: most of what an idle device's
//! connection costs would be its token. Must not know what a token says; it is checked each time.

use comptoir_engine::wire::message::short_name;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// How many are kept; the oldest go first. A device whose token is not among them is asked for it.
const KNOWN_MAX: usize = 16_384;

#[derive(Default)]
pub(super) struct Known {
    tokens: Mutex<Tokens>,
}

#[derive(Default)]
struct Tokens {
    by_name: HashMap<String, String>,
    in_order: VecDeque<String>,
}

impl Known {
    /// The token of this short name.
    pub(super) fn find(&self, name: &str) -> Option<String> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).by_name.get(name).cloned()
    }

    /// A token was found good.
    pub(super) fn add(&self, token: &str) {
        let name = short_name(token);
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.by_name.contains_key(&name) {
            return;
        }
        if tokens.in_order.len() >= KNOWN_MAX
            && let Some(oldest) = tokens.in_order.pop_front()
        {
            tokens.by_name.remove(&oldest);
        }
        tokens.in_order.push_back(name.clone());
        tokens.by_name.insert(name, token.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_nothing_is_kept_twice() {
        let known = Known::default();
        for number in 0..KNOWN_MAX + 2 {
            known.add(&format!("token {number}"));
            known.add(&format!("token {number}"));
        }
        assert_eq!(known.find(&short_name("token 0")), None);
        assert_eq!(known.find(&short_name("token 2")).as_deref(), Some("token 2"));
        let tokens = known.tokens.lock().expect("not poisoned");
        assert_eq!((tokens.by_name.len(), tokens.in_order.len()), (KNOWN_MAX, KNOWN_MAX));
    }
}
