//! What an `Accept-Language` asks for.

use unic_langid::LanguageIdentifier;

/// The languages, the one that is wanted most first (RFC 9110, section 12.5.4). What cannot be read
/// is passed over: it is a wish, and nothing to refuse an answer for.
pub(super) fn parse_accept_language(header: &str) -> Vec<LanguageIdentifier> {
    let mut wanted: Vec<_> = header.split(',').filter_map(parse_preference).collect();
    // Those of the same weight stay in their order.
    wanted.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    wanted.into_iter().map(|(_, language)| language).collect()
}

/// A language with its weight, unless that is 0, by which it is not wanted at all.
fn parse_preference(text: &str) -> Option<(f32, LanguageIdentifier)> {
    let (tag, weight) = text.split_once(';').unwrap_or((text, "q=1"));
    let weight: f32 = weight.trim().strip_prefix("q=")?.parse().ok()?;
    let language = tag.trim().parse().ok()?;
    (weight > 0.0).then_some((weight, language))
}
