//! Places in lists as texts that only we read. Must not know what is listed.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value as Json;

/// The longest such text, in characters.
const CURSOR_BYTES_MAX: usize = 1024;

/// A place as text.
pub(super) fn hide(place: &Json) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(place.to_string())
}

/// The place in a text of [`hide`].
pub(super) fn reveal(text: &str) -> Option<Json> {
    let bytes = (text.len() <= CURSOR_BYTES_MAX).then(|| BASE64_URL_SAFE_NO_PAD.decode(text).ok())??;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_what_its_text_says() {
        let hidden = serde_json::json!(["a", "b"]);
        assert_eq!(reveal(&hide(&hidden)), Some(hidden));
        assert_eq!(reveal("é"), None);
    }
}
