//! Texts in the language of whoever reads them, from `locales/`. Must not know errors or commands.

/// The languages there are texts in.
pub(crate) const LOCALES: [&str; 2] = ["en", "fr"];
/// The environment variable that names the language.
const LOCALE_VARIABLE: &str = "COMPTOIR_LANG";

/// Takes the language from the environment, else from the system, else English.
pub(crate) fn choose_locale() {
    let asked = std::env::var(LOCALE_VARIABLE).ok().filter(|name| !name.is_empty());
    let name = asked.or_else(sys_locale::get_locale).unwrap_or_default().to_ascii_lowercase();
    let known = LOCALES.iter().find(|locale| name.split(['-', '_', '.']).next() == Some(**locale));
    rust_i18n::set_locale(known.copied().unwrap_or(LOCALES[0]));
}

/// The text with this key in the chosen language.
pub(crate) fn text(key: &str) -> String {
    rust_i18n::t!(key).into_owned()
}

/// The text with this key, with `%{name}` replaced by values.
pub(crate) fn text_with(key: &str, values: &[(&str, String)]) -> String {
    let (names, values): (Vec<_>, Vec<_>) = values.iter().cloned().unzip();
    rust_i18n::replace_patterns(&rust_i18n::t!(key), &names, &values)
}

/// As [`text_with`], but `None` where the chosen language has no such text or is English.
pub(crate) fn foreign_text(key: &str, values: &[(&str, String)]) -> Option<String> {
    let locale = rust_i18n::locale();
    if *locale == *LOCALES[0] {
        return None;
    }
    let pattern = crate::_rust_i18n_try_translate(&locale, key)?;
    let (names, values): (Vec<_>, Vec<_>) = values.iter().cloned().unzip();
    Some(rust_i18n::replace_patterns(&pattern, &names, &values))
}

/// The text without line breaks.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    /// Texts by key, as the file gives them.
    fn texts(file: &str) -> BTreeMap<String, String> {
        let texts = file.lines().filter_map(|line| line.split_once(": "));
        texts.map(|(key, text)| (key.to_owned(), text.to_owned())).collect()
    }

    fn placeholders(text: &str) -> BTreeSet<&str> {
        text.split("%{").skip(1).filter_map(|rest| rest.split('}').next()).collect()
    }

    const ERRORS: &str =
        concat!(include_str!("error.rs"), include_str!("error/store.rs"), include_str!("error/query.rs"));

    #[test]
    fn every_error_has_a_french_text() {
        let french = texts(include_str!("../locales/fr.yml"));
        for code in crate::error::CODES {
            assert!(french.contains_key(&format!("error.{code}")), "no French text for {code}");
        }
        let given = ERRORS.lines().filter_map(|line| line.split_once("=> \"")?.1.split_once('"'));
        let given: BTreeSet<&str> = given.map(|(code, _)| code).collect();
        assert_eq!(given, crate::error::CODES.into_iter().collect(), "the list of codes is whole");
    }

    #[test]
    fn both_languages_have_the_same_texts_about_the_same_values() {
        let (english, french) = (texts(include_str!("../locales/en.yml")), texts(include_str!("../locales/fr.yml")));
        for (key, text) in &english {
            let other = french.get(key).unwrap_or_else(|| panic!("no French text for {key}"));
            assert_eq!(placeholders(text), placeholders(other), "{key}");
        }
        let more = french.keys().find(|key| !key.starts_with("error.") && !english.contains_key(*key));
        assert_eq!(more, None, "no English text");
    }
}
